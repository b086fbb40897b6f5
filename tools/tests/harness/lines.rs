//! Records that tell where they belong: what a stream has to hold is known from its seed, and nothing needs to be kept.

/// A generator of numbers, the same for the same seed (SplitMix64).
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }
}

/// The lines of a stream, by offset.
#[derive(Clone)]
pub struct Text {
    seed: u64,
    /// From which offset on lines have at most so many bytes of noise.
    sizes: Vec<(u64, u64)>,
}

impl Text {
    pub fn new(seed: u64, noise_bytes_max: u64) -> Text {
        Text { seed, sizes: vec![(0, noise_bytes_max)] }
    }

    /// Other sizes from an offset on; what was said of later ones is forgotten.
    pub fn resize(&mut self, from: u64, noise_bytes_max: u64) {
        self.sizes.retain(|(start, _)| *start < from);
        self.sizes.push((from, noise_bytes_max));
    }

    /// Puts a line and its newline: its offset, and noise.
    pub fn put(&self, offset: u64, bytes: &mut Vec<u8>) {
        let at = self.sizes.partition_point(|(start, _)| *start <= offset) - 1;
        let mut random = Random(self.seed ^ offset.wrapping_mul(0xd6e8_feb8_6659_fd93));
        let noise = random.below(self.sizes[at].1 + 1) as usize;
        bytes.extend_from_slice(format!("{offset} ").as_bytes());
        let end = bytes.len() + noise;
        while bytes.len() < end {
            // No newline among them.
            bytes.extend(random.next().to_le_bytes().map(|byte| b'0' + (byte & 63)));
        }
        bytes.truncate(end);
        bytes.push(b'\n');
    }

    /// How many lines `bytes` are, which must be the first ones of this text.
    #[track_caller]
    pub fn count(&self, bytes: &[u8]) -> u64 {
        let (mut offset, mut rest, mut line) = (0, bytes, Vec::new());
        while !rest.is_empty() {
            line.clear();
            self.put(offset, &mut line);
            assert!(rest.starts_with(&line), "offset {offset}: {} is not what was sent", shown(rest));
            rest = &rest[line.len()..];
            offset += 1;
        }
        offset
    }
}

/// The beginning of a line, for messages.
pub fn shown(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    format!("{:?} of {} bytes", String::from_utf8_lossy(&line[..line.len().min(40)]), line.len())
}
