use super::*;
#[test]
fn smoke() {
    let signer = Signer::from_seed(&[7; 32]);
    let origin = Origin { engine: [0xab; 16], tenant: 12 };
    let key: Verifier = signer.verifier(&origin.to_string()).unwrap().to_string().parse().unwrap();
    let c = Checkpoint { origin, size: 0, root: crate::merkle::Hash::EMPTY_TREE, time: 99 };
    let note = c.sign(&signer);
    println!("{note}{key}");
    assert_eq!(Checkpoint::open(note.as_bytes(), &key), Ok(c));
}
