//! Sets of CPUs, and how the kernel writes them.

use core::fmt;

/// CPUs that a set can hold: numbers from 0 up to, not including, this.
///
/// The largest machines that run one Linux have fewer; what lies beyond is not used.
pub const MAX_CPUS: u32 = 4096;
const WORDS: usize = MAX_CPUS as usize / 64;

/// A set of CPU numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CpuSet {
    words: [u64; WORDS],
}

impl CpuSet {
    /// No CPU.
    pub const EMPTY: Self = Self { words: [0; WORDS] };

    /// Adds a CPU; `false` where its number is beyond [`MAX_CPUS`], and nothing is added.
    pub const fn insert(&mut self, cpu: u32) -> bool {
        if cpu >= MAX_CPUS {
            return false;
        }
        self.words[cpu as usize / 64] |= 1 << (cpu % 64);
        true
    }

    /// Takes a CPU out.
    pub const fn remove(&mut self, cpu: u32) {
        if cpu < MAX_CPUS {
            self.words[cpu as usize / 64] &= !(1 << (cpu % 64));
        }
    }

    /// Whether it is in the set.
    #[must_use]
    pub const fn contains(&self, cpu: u32) -> bool {
        cpu < MAX_CPUS && self.words[cpu as usize / 64] >> (cpu % 64) & 1 == 1
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.words.iter().map(|word| word.count_ones()).sum()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Those that are in both sets.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        self.combined(other, |ours, theirs| ours & theirs)
    }

    /// Those that are in either set.
    #[must_use]
    pub fn or(&self, other: &Self) -> Self {
        self.combined(other, |ours, theirs| ours | theirs)
    }

    /// Those that are in this set and not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        self.combined(other, |ours, theirs| ours & !theirs)
    }

    /// All of them, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + use<> {
        (0_u32..).zip(self.words).flat_map(|(index, word)| {
            let mut rest = word;
            core::iter::from_fn(move || {
                let bit = rest.trailing_zeros();
                rest &= rest.wrapping_sub(1);
                (bit < 64).then_some(index * 64 + bit)
            })
        })
    }

    /// Reads a list as the kernel writes it (Documentation/admin-guide/cputopology.rst): `0-3,8`, or nothing for no CPU.
    /// `None` where it is no such list. CPUs beyond [`MAX_CPUS`] are left out.
    #[must_use]
    pub fn from_list(list: &str) -> Option<Self> {
        let mut set = Self::EMPTY;
        for part in list.trim().split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first > last {
                return None;
            }
            for cpu in first..=last.min(MAX_CPUS - 1) {
                set.insert(cpu);
            }
        }
        Some(set)
    }

    /// The set as such a list, for people and for the kernel.
    #[must_use]
    pub const fn list(&self) -> CpuList<'_> {
        CpuList(self)
    }

    fn combined(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let mut words = self.words;
        words.iter_mut().zip(other.words).for_each(|(ours, theirs)| *ours = combine(*ours, theirs));
        Self { words }
    }
}

/// Digits and nothing else: `str::parse` would take a sign.
fn number(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_number { text.parse().ok() } else { None }
}

impl Default for CpuSet {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl FromIterator<u32> for CpuSet {
    fn from_iter<T: IntoIterator<Item = u32>>(cpus: T) -> Self {
        let mut set = Self::EMPTY;
        for cpu in cpus {
            set.insert(cpu);
        }
        set
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.list())
    }
}

/// [`CpuSet`] as a list: runs of numbers with commas between them.
#[derive(Clone, Copy, Debug)]
pub struct CpuList<'a>(&'a CpuSet);

impl fmt::Display for CpuList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut cpus = self.0.iter().peekable();
        let mut comma = "";
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
            comma = ",";
        }
        Ok(())
    }
}
