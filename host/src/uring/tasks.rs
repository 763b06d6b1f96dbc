//! Futures of one thread, polled when they are woken.
//!
//! A future's place is used again by the next one, so that starting one costs no allocation.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use crate::io::wake::Alarm;

/// The places whose futures are to be polled.
struct Ready {
    places: Mutex<Vec<usize>>,
    /// Wakes the thread of the tasks, if another one has woken a task.
    bell: Arc<Alarm>,
}

struct Place {
    index: usize,
    /// It is among the ready ones.
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Place {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.places.lock().unwrap_or_else(PoisonError::into_inner).push(self.index);
            self.ready.bell.notify();
        }
    }
}

struct Task<F> {
    future: Pin<Box<Option<F>>>,
    place: Arc<Place>,
    waker: Waker,
}

/// So many futures at most.
pub(super) struct Tasks<F> {
    tasks: Vec<Task<F>>,
    free: Vec<usize>,
    ready: Arc<Ready>,
    /// What [`Tasks::run`] works on; empty between calls.
    turn: Vec<usize>,
}

impl<F: Future> Tasks<F> {
    /// Places for `limit` futures. `bell` is rung when one is woken.
    pub(super) fn new(limit: usize, bell: Arc<Alarm>) -> Self {
        let ready = Arc::new(Ready { places: Mutex::new(Vec::with_capacity(limit)), bell });
        let task = |index| {
            let place = Arc::new(Place { index, queued: AtomicBool::new(false), ready: Arc::clone(&ready) });
            Task { future: Box::pin(None), waker: Waker::from(Arc::clone(&place)), place }
        };
        let tasks = (0..limit).map(task).collect();
        Self { tasks, free: (0..limit).rev().collect(), ready, turn: Vec::with_capacity(limit) }
    }

    /// Whether there is a place for another.
    pub(super) fn has_room(&self) -> bool {
        !self.free.is_empty()
    }

    /// Whether there is none under way.
    pub(super) fn is_empty(&self) -> bool {
        self.free.len() == self.tasks.len()
    }

    /// Whether one is to be polled.
    pub(super) fn is_ready(&self) -> bool {
        !self.ready.places.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Takes a future in, to be polled by the next [`Tasks::run`]. Gives it back where there is no room.
    pub(super) fn start(&mut self, future: F) -> Result<(), F> {
        let Some(index) = self.free.pop() else { return Err(future) };
        let task = &mut self.tasks[index];
        task.future.set(Some(future));
        task.waker.wake_by_ref();
        Ok(())
    }

    /// Polls the futures that were woken, each once; what is finished goes to `finished`. Whether there was any.
    pub(super) fn run(&mut self, mut finished: impl FnMut(F::Output)) -> bool {
        std::mem::swap(&mut self.turn, &mut *self.ready.places.lock().unwrap_or_else(PoisonError::into_inner));
        let worked = !self.turn.is_empty();
        for index in self.turn.drain(..) {
            let task = &mut self.tasks[index];
            // Before it is polled: what wakes it from now on has it polled again.
            task.place.queued.store(false, Ordering::Release);
            let Some(future) = task.future.as_mut().as_pin_mut() else { continue };
            if let Poll::Ready(output) = future.poll(&mut Context::from_waker(&task.waker)) {
                task.future.set(None);
                self.free.push(index);
                finished(output);
            }
        }
        worked
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;

    use super::*;

    fn tasks<F: Future>(limit: usize) -> Tasks<F> {
        Tasks::new(limit, Arc::new(Alarm::new().unwrap()))
    }

    #[test]
    fn a_future_is_polled_when_it_starts_and_when_it_is_woken_and_its_place_is_used_again() {
        let (polls, waker) = (Cell::new(0), RefCell::new(None::<Waker>));
        let twice = |name: u32| {
            let mut first = true;
            let (polls, waker) = (&polls, &waker);
            poll_fn(move |context| {
                polls.set(polls.get() + 1);
                if std::mem::take(&mut first) {
                    waker.replace(Some(context.waker().clone()));
                    return Poll::Pending;
                }
                Poll::Ready(name)
            })
        };
        let mut tasks = tasks(1);
        for name in 1..=3 {
            assert!(tasks.has_room() && tasks.is_empty());
            assert!(tasks.start(twice(name)).is_ok());
            assert!(tasks.start(twice(99)).is_err(), "there is room for one");
            assert!(tasks.is_ready() && tasks.run(|_| panic!("not yet")));
            assert!(!tasks.run(|_| panic!("nobody woke it")));
            let woken = waker.take().unwrap();
            woken.wake_by_ref();
            woken.wake();
            let mut out = None;
            assert!(tasks.run(|name| out = Some(name)));
            assert_eq!((out, polls.replace(0)), (Some(name), 2));
        }
    }

    #[test]
    fn a_wake_from_another_thread_rings_the_bell() {
        let bell = Arc::new(Alarm::new().unwrap());
        let mut tasks = Tasks::new(1, Arc::clone(&bell));
        let (sender, receiver) = std::sync::mpsc::channel::<Waker>();
        let mut asked = false;
        let future = poll_fn(move |context| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            sender.send(context.waker().clone()).unwrap();
            Poll::Pending
        });
        assert!(tasks.start(future).is_ok());
        tasks.run(|()| panic!("not yet"));
        bell.arm();
        assert!(!tasks.is_ready());
        std::thread::spawn(move || receiver.recv().unwrap().wake()).join().unwrap();
        assert!(!bell.notify(), "it was rung already");
        let mut done = false;
        assert!(tasks.run(|()| done = true));
        assert!(done && tasks.is_empty());
    }
}
