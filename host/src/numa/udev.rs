//! What hwloc wants of libudev, for a binary that needs no libudev: it asks for the model of a disk, and only where it looks at
//! disks, which it is not asked to. As if there were no udev.

use std::ffi::{c_char, c_void};
use std::ptr;

// SAFETY (of the names, here and below): nothing else in this program has them, for it does not link libudev. The signatures are
// those of libudev.h.
#[unsafe(no_mangle)]
extern "C" fn udev_new() -> *mut c_void {
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn udev_unref(_: *mut c_void) -> *mut c_void {
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn udev_device_new_from_subsystem_sysname(
    _: *mut c_void,
    _: *const c_char,
    _: *const c_char,
) -> *mut c_void {
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn udev_device_unref(_: *mut c_void) -> *mut c_void {
    ptr::null_mut()
}

#[unsafe(no_mangle)]
extern "C" fn udev_device_get_property_value(_: *mut c_void, _: *const c_char) -> *const c_char {
    ptr::null()
}
