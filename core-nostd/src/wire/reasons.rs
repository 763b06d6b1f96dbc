//! Enumerations of rules that can be broken, each made of one table.

/// Defines an enumeration with its list, names and rules from one table, so that they cannot drift apart: a row for each reason, with
/// its variant, its stable name, and the rule that was broken.
macro_rules! reasons {
    ($(#[$attribute:meta])* $reasons:ident { $($variant:ident, $name:literal, $rule:literal;)+ }) => {
        $(#[$attribute])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $reasons {
            $(#[doc = concat!("Broken rule: ", $rule, ".")] $variant,)+
        }

        impl $reasons {
            /// Every reason, in the order of their numbers.
            pub const ALL: [Self; [$(Self::$variant),+].len()] = [$(Self::$variant),+];
            /// How many reasons there are.
            pub const COUNT: usize = Self::ALL.len();

            /// The reason's stable name in `--json` and metrics, in snake case.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// The rule that was broken, as a phrase for people.
            #[must_use]
            pub const fn rule(self) -> &'static str {
                match self { $(Self::$variant => $rule,)+ }
            }
        }
    };
}

pub(crate) use reasons;
