//! Delta debugging: the smallest part of a list that still does it, in that no single item can be left out (Zeller and
//! Hildebrandt, "Simplifying and isolating failure-inducing input", 2002).

/// A part of `items` for which `fails` holds and from which no single item can be taken. `items` itself must fail.
///
/// The order stays. `fails` is asked a number of times that grows with the square of what is left in the worst case, and
/// with its logarithm where one item alone does it.
pub fn ddmin<T: Clone>(items: &[T], mut fails: impl FnMut(&[T]) -> bool) -> Vec<T> {
    let mut left = items.to_vec();
    if left.is_empty() || fails(&[]) {
        return Vec::new();
    }
    let mut parts = 2;
    while left.len() >= 2 {
        let size = left.len().div_ceil(parts);
        if let Some(smaller) = smaller(&left, size, parts > 2, &mut fails) {
            // What is left may be cut as finely as before, but never more finely than it has items.
            parts = if smaller.len() <= size { 2 } else { (parts - 1).max(2) };
            left = smaller;
        } else if parts >= left.len() {
            break;
        } else {
            parts = (2 * parts).min(left.len());
        }
    }
    left
}

/// One of the parts of `size` items alone, or all but one of them.
fn smaller<T: Clone>(items: &[T], size: usize, without: bool, fails: &mut impl FnMut(&[T]) -> bool) -> Option<Vec<T>> {
    let alone = items.chunks(size).find(|part| part.len() < items.len() && fails(part));
    if let Some(part) = alone {
        return Some(part.to_vec());
    }
    let starts = (0..items.len()).step_by(size).filter(|_| without);
    let mut rest = starts.map(|start| [&items[..start], &items[items.len().min(start + size)..]].concat());
    rest.find(|rest| fails(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_what_it_takes() {
        let items: Vec<u32> = (0..1000).collect();
        for wanted in [&[][..], &[7], &[0, 999], &[3, 4, 500, 501, 998]] {
            let mut asked = 0;
            let found = ddmin(&items, |part| {
                asked += 1;
                wanted.iter().all(|item| part.contains(item))
            });
            assert_eq!(found, wanted);
            assert!(asked < 400, "{asked} for {wanted:?}");
        }
    }

    #[test]
    fn no_single_item_can_be_left_out_where_any_few_will_do() {
        let items: Vec<u32> = (0..100).collect();
        let found = ddmin(&items, |part| part.iter().filter(|item| **item % 3 == 0).count() >= 4);
        assert_eq!(found.len(), 4);
    }
}
