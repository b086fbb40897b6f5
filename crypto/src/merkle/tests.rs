use super::*;
#[test]
fn smoke() {
    let row: Vec<Hash> = (0..200u32).map(|n| leaf(7, n, &crate::genesis(1, n))).collect();
    let mut batch = Vec::new();
    let l: Vec<_> = (0..200u32).map(|n| Leaf { tenant: 7, stream: n, link: crate::genesis(1, n) }).collect();
    leaves(&l, &mut batch);
    assert_eq!(row, batch);
    for a in 0..40usize {
        for b in a..60 {
            for c in b..70 {
                let mut whole = Range::new(a as u64);
                for h in &row[a..c] {
                    whole.push(*h, |_, _| {});
                }
                let mut left = Range::new(a as u64);
                left.extend(&row[a..b], |_, _| {});
                let mut right = Range::new(b as u64);
                right.extend(&row[b..c], |_, _| {});
                assert!(left.append(&right, |_, _| {}));
                assert_eq!(left, whole);
                let hashes: Vec<_> = left.hashes().copied().collect();
                assert_eq!(Range::from_hashes(a as u64, c as u64, &hashes), Some(left));
            }
        }
    }
    let mut nodes = std::collections::HashMap::new();
    let mut range = Range::new(0);
    let mut roots = vec![range.root().unwrap()];
    for h in &row {
        range.push(*h, |id, h| assert!(nodes.insert(id, *h).is_none()));
        roots.push(range.root().unwrap());
    }
    let mut other = std::collections::HashMap::new();
    let mut range = Range::new(0);
    for h in row.chunks(7) {
        range.extend(h, |id, h| assert!(other.insert(id, *h).is_none()));
    }
    assert_eq!(nodes, other);
    for size in 0..70u64 {
        for i in 0..size {
            let p = Path::inclusion(i, size).unwrap().hashes(|id| nodes.get(&id).copied().ok_or(())).unwrap();
            assert!(is_included(i, size, &row[i as usize], &p, &roots[size as usize]));
        }
        for i in 0..=size {
            let p = Path::consistency(i, size).unwrap().hashes(|id| nodes.get(&id).copied().ok_or(())).unwrap();
            assert!(is_consistent(i, size, &p, &roots[i as usize], &roots[size as usize]), "{i} {size}");
        }
    }
}
