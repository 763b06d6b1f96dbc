//! Questions over generic netlink: a family is looked up by its name and then called by its number
//! (Documentation/userspace-api/netlink/intro.rst).

use std::io;
use std::marker::PhantomData;

use netlink_packet_core::{DecodeError, Emitable, NLM_F_DUMP, ParseableParametrized};
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_GENERIC};

use crate::netlink::exchange;

/// A family of the kernel's.
pub(super) trait Family: std::fmt::Debug {
    /// What the kernel calls it.
    const NAME: &'static str;
    /// The version of its calls.
    const VERSION: u8;
}

/// A call of a family, or its answer.
#[derive(Debug)]
struct Call<F> {
    command: u8,
    attributes: Vec<u8>,
    family: PhantomData<F>,
}

impl<F: Family> GenlFamily for Call<F> {
    fn family_name() -> &'static str {
        F::NAME
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        F::VERSION
    }
}

impl<F> Emitable for Call<F> {
    fn buffer_len(&self) -> usize {
        self.attributes.len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.attributes);
    }
}

impl<F> ParseableParametrized<[u8], GenlHeader> for Call<F> {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        Ok(Self { command: header.cmd, attributes: bytes.to_vec(), family: PhantomData })
    }
}

/// A socket to call one family.
#[derive(Debug)]
pub(super) struct GenericSocket<F> {
    socket: Socket,
    id: u16,
    family: PhantomData<F>,
}

impl<F: Family> GenericSocket<F> {
    /// Opens one. Calls that only ask need no privilege.
    ///
    /// # Errors
    /// The kernel has no such family (`NotFound`), or gives no socket.
    pub(super) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_GENERIC)?;
        socket.connect(&SocketAddr::new(0, 0))?;
        let name = GenlCtrlAttrs::FamilyName(F::NAME.to_owned());
        let question = GenlMessage::from_payload(GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![name] });
        let mut id = None;
        exchange(&socket, question, 0, |answer: GenlMessage<GenlCtrl>| {
            id = id.or(answer.payload.nlas.iter().find_map(|attribute| match attribute {
                GenlCtrlAttrs::FamilyId(id) => Some(*id),
                _ => None,
            }));
        })?;
        let id = id.ok_or(io::ErrorKind::NotFound)?;
        Ok(Self { socket, id, family: PhantomData })
    }

    /// The attributes of the one answer to `command`.
    ///
    /// # Errors
    /// What the kernel answers instead, such as `EOPNOTSUPP` where the driver does not tell.
    pub(super) fn ask(&self, command: u8, attributes: Vec<u8>) -> io::Result<Vec<u8>> {
        self.call(command, attributes, 0)?.pop().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// The attributes of all answers to `command`.
    ///
    /// # Errors
    /// What the kernel answers instead.
    pub(super) fn dump(&self, command: u8, attributes: Vec<u8>) -> io::Result<Vec<Vec<u8>>> {
        self.call(command, attributes, NLM_F_DUMP)
    }

    fn call(&self, command: u8, attributes: Vec<u8>, flags: u16) -> io::Result<Vec<Vec<u8>>> {
        let mut request = GenlMessage::from_payload(Call::<F> { command, attributes, family: PhantomData });
        request.set_resolved_family_id(self.id);
        let mut answers = Vec::new();
        exchange(&self.socket, request, flags, |answer: GenlMessage<Call<F>>| {
            answers.push(answer.payload.attributes);
        })?;
        Ok(answers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct NoSuchFamily;

    impl Family for NoSuchFamily {
        const NAME: &'static str = "wh-none";
        const VERSION: u8 = 1;
    }

    #[test]
    fn a_family_that_the_kernel_lacks_is_an_error() {
        let error = GenericSocket::<NoSuchFamily>::open().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound, "{error}");
    }
}
