//! Operations under way, by token. A completion names a token; one that nothing under way has is counted and changes nothing.

use core::fmt;
use core::marker::PhantomData;

/// No place.
const NONE: u32 = u32::MAX;

/// Names one submission of one operation. No other gets the same before its place was used 2^32 times more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    index: u32,
    generation: u32,
}

impl Token {
    /// A word that no submission ever gets, for entries whose completion nobody waits for.
    pub const NOBODY: u64 = u64::MAX;

    /// As the word that goes to the kernel and comes back.
    #[must_use]
    pub const fn to_word(self) -> u64 {
        (self.generation as u64) << 32 | self.index as u64
    }

    /// Out of the word that came back.
    #[must_use]
    pub const fn from_word(word: u64) -> Self {
        Self { index: word as u32, generation: (word >> 32) as u32 }
    }
}

/// Storage for one operation.
#[derive(Debug)]
pub struct Place<T> {
    generation: u32,
    /// The next free place; meaningless while there is a value.
    next: u32,
    value: Option<T>,
}

impl<T> Default for Place<T> {
    fn default() -> Self {
        Self { generation: 0, next: NONE, value: None }
    }
}

/// Completions that belonged to nothing under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Named a place that does not exist.
    pub unknown: u64,
    /// Named a submission that is over: a second completion, or one that came late.
    pub stale: u64,
}

/// What became of an operation with a completion.
#[derive(Debug, PartialEq, Eq)]
pub enum Landing<T> {
    /// It is over and no longer in the table.
    Ended(T),
    /// It is submitted again, under the new token.
    Again,
    /// The completion belonged to nothing under way.
    Stray,
}

/// The operations under way, each in a place of `S`: a boxed or borrowed slice of [`Place`].
pub struct Flight<T, S> {
    places: S,
    capacity: u32,
    free: u32,
    count: u32,
    strays: Strays,
    holds: PhantomData<T>,
}

impl<T, S: AsRef<[Place<T>]> + AsMut<[Place<T>]>> Flight<T, S> {
    /// An empty table over `places`, which hold nothing. No more operations are under way at once than there are places, and
    /// than a completion queue of `completions` entries holds: so it never overflows.
    #[must_use]
    pub fn new(mut places: S, completions: u32) -> Self {
        let slice = places.as_mut();
        let capacity = u32::try_from(slice.len()).unwrap_or(NONE).min(completions).min(NONE - 1);
        for (index, place) in (0..capacity).zip(slice.iter_mut()) {
            place.value = None;
            place.next = if index + 1 < capacity { index + 1 } else { NONE };
        }
        let free = if capacity == 0 { NONE } else { 0 };
        Self { places, capacity, free, count: 0, strays: Strays::default(), holds: PhantomData }
    }

    /// Most operations under way at once.
    #[must_use]
    pub const fn capacity(&self) -> u32 {
        self.capacity
    }

    /// Operations under way.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// Completions that belonged to nothing under way.
    #[must_use]
    pub const fn strays(&self) -> Strays {
        self.strays
    }

    /// Puts an operation into the table. From here on its value does not leave it before [`Flight::land`] lets it.
    ///
    /// # Errors
    /// The value itself, where there is no place.
    #[inline]
    pub fn begin(&mut self, value: T) -> Result<(Token, &mut T), T> {
        let index = self.free;
        let Some(place) = self.places.as_mut().get_mut(index as usize) else { return Err(value) };
        self.free = place.next;
        self.count += 1;
        place.generation = place.generation.wrapping_add(1);
        let token = Token { index, generation: place.generation };
        Ok((token, place.value.insert(value)))
    }

    /// A completion for `token` came in. `judge` gets the operation, and the token that it has from now on if it is submitted
    /// again; it says whether it is over.
    #[inline]
    pub fn land(&mut self, token: Token, judge: impl FnOnce(&mut T, Token) -> bool) -> Landing<T> {
        let Some(place) = self.places.as_mut().get_mut(token.index as usize) else {
            self.strays.unknown += 1;
            return Landing::Stray;
        };
        let generation = place.generation.wrapping_add(1);
        let value = place.value.as_mut().filter(|_| place.generation == token.generation);
        let Some(value) = value else {
            self.strays.stale += 1;
            return Landing::Stray;
        };
        if !judge(value, Token { index: token.index, generation }) {
            place.generation = generation;
            return Landing::Again;
        }
        match place.value.take() {
            Some(value) => {
                place.next = self.free;
                self.free = token.index;
                self.count -= 1;
                Landing::Ended(value)
            }
            // It was there a moment ago.
            None => Landing::Stray,
        }
    }

    /// Takes out what never became known to the kernel, so that no completion will come.
    pub fn withdraw(&mut self, token: Token) -> Option<T> {
        match self.land(token, |_, _| true) {
            Landing::Ended(value) => Some(value),
            Landing::Again | Landing::Stray => None,
        }
    }

    /// All that is under way.
    pub fn iter(&self) -> impl Iterator<Item = (Token, &T)> {
        let places = (0..self.capacity).zip(self.places.as_ref());
        places.filter_map(|(index, place)| {
            place.value.as_ref().map(|value| (Token { index, generation: place.generation }, value))
        })
    }
}

impl<T, S> fmt::Debug for Flight<T, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capacity, count, strays, .. } = self;
        f.debug_struct("Flight").field("capacity", capacity).field("count", count).field("strays", strays).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> [Place<&'static str>; 4] {
        core::array::from_fn(|_| Place::default())
    }

    fn end(flight: &mut Flight<&'static str, [Place<&'static str>; 4]>, token: Token) -> Landing<&'static str> {
        flight.land(token, |_, _| true)
    }

    #[test]
    fn an_operation_ends_once() {
        let mut flight = Flight::new(places(), 8);
        let token = flight.begin("one").unwrap().0;
        assert_eq!(Token::from_word(token.to_word()), token);
        assert_eq!(end(&mut flight, token), Landing::Ended("one"));
        assert_eq!(end(&mut flight, token), Landing::Stray);
        let again = flight.begin("two").unwrap().0;
        assert_ne!(again, token);
        assert_eq!(end(&mut flight, token), Landing::Stray, "the place is the same, the operation is not");
        assert_eq!((flight.count(), flight.strays()), (1, Strays { unknown: 0, stale: 2 }));
    }

    /// URING-3: the completion queue cannot overflow.
    #[test]
    fn no_more_is_under_way_than_the_completion_queue_holds() {
        let mut flight = Flight::new(places(), 3);
        assert_eq!(flight.capacity(), 3);
        let tokens = [(); 3].map(|()| flight.begin("x").unwrap().0);
        assert_eq!(flight.begin("y"), Err("y"));
        assert_eq!(end(&mut flight, tokens[1]), Landing::Ended("x"));
        assert!(flight.begin("y").is_ok());
        assert!(Flight::<u8, _>::new([Place::default()], 0).begin(1).is_err());
    }

    #[test]
    fn what_is_submitted_again_has_another_token() {
        let mut flight = Flight::new(places(), 8);
        let first = flight.begin("x").unwrap().0;
        let mut second = first;
        let landing = flight.land(first, |value, next| {
            *value = "y";
            second = next;
            false
        });
        assert_eq!((landing, flight.count()), (Landing::Again, 1));
        assert_eq!(end(&mut flight, first), Landing::Stray, "a duplicate of the first answer");
        assert_eq!(end(&mut flight, second), Landing::Ended("y"));
    }

    #[test]
    fn words_that_nobody_got_are_strays() {
        let mut flight = Flight::new(places(), 8);
        let token = flight.begin("x").unwrap().0;
        for word in [Token::NOBODY, 0, 4, token.to_word() + (1 << 32), 1] {
            assert_eq!(end(&mut flight, Token::from_word(word)), Landing::Stray, "{word}");
        }
        assert_eq!(flight.strays().unknown + flight.strays().stale, 5);
        assert_eq!(flight.iter().map(|(token, value)| (token, *value)).next(), Some((token, "x")));
        assert_eq!(flight.withdraw(token), Some("x"));
        assert_eq!((flight.withdraw(token), flight.count()), (None, 0));
    }
}
