//! Network cards, as far as their place in the machine is concerned: node, queues, and where their interrupts go.

use crate::interface::{Interface, InterfaceError, Interrupt};

/// A network card, or a virtual interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Card {
    /// The interface's name.
    pub iface: String,
    /// The name of its driver, or for a virtual interface its kind.
    pub driver: Option<String>,
    /// The node that it hangs on; `None` where it belongs to all, or to none.
    pub node: Option<u32>,
    /// Whether it is set up.
    pub is_up: bool,
    /// Its receive queues that workers can be bound to: at least one.
    pub queues: u32,
    /// The interrupts of its receive queues.
    pub interrupts: Vec<Interrupt>,
}

/// The interface called `iface`; without a name all that are up, and all cards with a driver, but for loopback.
///
/// # Errors
/// As [`Interface::by_name`].
pub fn cards(iface: Option<&str>) -> Result<Vec<Card>, InterfaceError> {
    let found = match iface {
        Some(name) => vec![Interface::by_name(name)?],
        None => Interface::all()?.into_iter().filter(is_shown).collect(),
    };
    Ok(found.iter().map(Card::of).collect())
}

const fn is_shown(interface: &Interface) -> bool {
    !interface.is_loopback && (interface.is_up || interface.driver.is_some())
}

impl Card {
    /// What an interface is to the map.
    #[must_use]
    pub fn of(interface: &Interface) -> Self {
        Self {
            iface: interface.name.clone(),
            driver: interface.driver.clone().or_else(|| interface.kind.clone()),
            node: interface.numa_node,
            is_up: interface.is_up,
            queues: interface.usable_queues(),
            interrupts: interface.queue_interrupts(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_and_what_is_neither_up_nor_a_card_are_left_out() {
        let shown = |is_up, is_loopback, driver: Option<&str>| {
            is_shown(&Interface { is_up, is_loopback, driver: driver.map(str::to_owned), ..Interface::default() })
        };
        assert!(shown(true, false, None) && shown(false, false, Some("ice")));
        assert!(!shown(true, true, None) && !shown(false, false, None));
    }

    #[test]
    fn a_card_is_called_by_its_driver_or_its_kind() {
        let interface =
            Interface { name: "wire".to_owned(), kind: Some("veth".to_owned()), rx_queues: 3, ..Interface::default() };
        let card = Card::of(&interface);
        assert_eq!((card.driver.as_deref(), card.queues), (Some("veth"), 3));
        let card = Card::of(&Interface { driver: Some("ice".to_owned()), ..interface });
        assert_eq!(card.driver.as_deref(), Some("ice"));
        assert!(matches!(cards(Some("wh-nobody")), Err(InterfaceError::NoSuchName { .. })));
    }
}
