//! The rounds against NIST's vectors, in lanes of every number. A lane's own layout of a message begins with a link's prefix,
//! so here the padded blocks are put into it ready-made.

use super::*;
use crate::vectors::cases;

/// The message with its padding, by FIPS 180-4, section 5.1.1.
fn padded(message: &[u8]) -> Vec<Block> {
    let mut bytes = message.to_vec();
    bytes.push(0x80);
    bytes.resize((bytes.len() + size_of::<u64>()).next_multiple_of(BLOCK_BYTES) - size_of::<u64>(), 0);
    bytes.extend((message.len() as u64 * 8).to_be_bytes());
    bytes.as_chunks().0.to_vec()
}

/// Hashes as many messages as lanes, each as long as the shortest has blocks and then on its own.
#[target_feature(enable = "sha,sse4.1,ssse3")]
fn hash<const N: usize>(messages: &[Vec<Block>; N]) -> [Link; N] {
    let mut lanes = [const { Lane::empty() }; N];
    for (lane, blocks) in lanes.iter_mut().zip(messages) {
        lane.state = initial_state();
        let (quarters, _) = blocks[0].as_chunks::<REGISTER_BYTES>();
        lane.first = std::array::from_fn(|i| big_endian(load(&quarters[i])));
        lane.middle = &blocks[1..];
        lane.blocks = blocks.len();
    }
    let together = messages.iter().map(Vec::len).min().unwrap();
    compress_lanes::<N>(&mut lanes.each_mut(), 0..together);
    std::array::from_fn(|i| {
        compress_lanes::<1>(&mut [&mut lanes[i]], together..messages[i].len());
        let mut link = Link::from_bytes([0; 32]);
        lanes[i].finish(&mut link);
        link
    })
}

fn check<const N: usize>(vectors: &[(Vec<Block>, Link)]) -> usize {
    let mut checked = 0;
    for window in vectors.windows(N) {
        let messages: [Vec<Block>; N] = std::array::from_fn(|i| window[i].0.clone());
        // SAFETY: the test returns before this without the instructions.
        let links = unsafe { hash::<N>(&messages) };
        for (link, (blocks, expected)) in links.iter().zip(window) {
            assert_eq!(link, expected, "{} blocks, {N} lanes", blocks.len());
            checked += 1;
        }
    }
    checked
}

#[test]
fn nist_cavp() {
    if ShaNi::detect().is_none() {
        eprintln!("not tested: this processor has no SHA instructions");
        return;
    }
    let files =
        [include_str!("../../tests/data/SHA256ShortMsg.rsp"), include_str!("../../tests/data/SHA256LongMsg.rsp")];
    let vectors: Vec<(Vec<Block>, Link)> = files
        .iter()
        .flat_map(|file| cases(file))
        .map(|case| {
            let bytes = case.find("Len").unwrap().parse::<usize>().unwrap() / 8;
            (padded(&case.bytes("Msg")[..bytes]), Link::from_bytes(case.array("MD")))
        })
        .collect();
    let all = vectors.len();
    assert_eq!(all, 65 + 24);
    assert_eq!(
        [check::<1>(&vectors), check::<2>(&vectors), check::<3>(&vectors), check::<LANES>(&vectors)],
        [all, (all - 1) * 2, (all - 2) * 3, (all - 3) * 4],
    );
}
