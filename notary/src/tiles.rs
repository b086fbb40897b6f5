//! One tenant's tree on the disk: of levels 0, 8, 16, … the hashes of all whole nodes, an array of each level in a file.
//!
//! An array is only appended to, since a node whose leaves are all there never changes. How much of it counts the state says
//! (`state`); what lies behind that was written before a crash, and is cut. Nodes of the levels between are computed from at
//! most 128 hashes of the stored level below, and a proof has all that it needs of one level in one tile.

use crate::limits::{HASH_BYTES, STORED_LEVELS, TILE_HASHES, TILE_LEVELS};
use crate::{Error, files};
use crypto::merkle::{Hash, NodeId, Range};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Nodes of whole subtrees of a stored level in a tree of so many leaves.
fn count(level: usize, size: u64) -> u64 {
    size >> (level * usize::from(TILE_LEVELS))
}

/// The files of one tenant.
#[derive(Clone, Debug)]
pub(crate) struct Tiles {
    directory: PathBuf,
}

impl Tiles {
    /// The tree in `directory`, which need not be there yet.
    pub(crate) fn new(directory: PathBuf) -> Tiles {
        Tiles { directory }
    }

    fn path(&self, level: usize) -> PathBuf {
        self.directory.join(format!("level-{:02}", level * usize::from(TILE_LEVELS)))
    }

    /// Adds leaves to a tree, and to its files every node of a stored level that is whole with them. Not durable before
    /// [`flush`](Self::flush).
    pub(crate) fn extend(&self, tree: &mut Range, leaves: &[Hash]) -> Result<(), Error> {
        let before = tree.end();
        let mut whole: [Vec<u8>; STORED_LEVELS] = std::array::from_fn(|_| Vec::new());
        tree.extend(leaves, |id, hash| {
            if id.level.is_multiple_of(TILE_LEVELS) {
                whole[usize::from(id.level / TILE_LEVELS)].extend_from_slice(hash.as_bytes());
            }
        });
        if before == 0 {
            files::make_directory(&self.directory)?;
        }
        for (level, bytes) in whole.iter().enumerate().filter(|(_, bytes)| !bytes.is_empty()) {
            let path = self.path(level);
            let write = || -> std::io::Result<()> {
                let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
                file.seek(SeekFrom::Start(count(level, before) * HASH_BYTES as u64))?;
                file.write_all(bytes)
            };
            write().map_err(Error::file("write", &path))?;
        }
        Ok(())
    }

    /// Makes the files of a tree of so many leaves durable, with their names.
    pub(crate) fn flush(&self, size: u64) -> Result<(), Error> {
        for level in (0..STORED_LEVELS).take_while(|level| count(*level, size) > 0) {
            let path = self.path(level);
            File::open(&path).and_then(|file| file.sync_data()).map_err(Error::file("flush", &path))?;
        }
        if size > 0 { files::flush_directory(&self.directory) } else { Ok(()) }
    }

    /// The tree of so many leaves, with its files cut to them. None if there are not as many, or not with this root.
    pub(crate) fn open(&self, size: u64, root: &Hash) -> Result<Option<Range>, Error> {
        for level in 0..STORED_LEVELS {
            let path = self.path(level);
            let expected = count(level, size) * HASH_BYTES as u64;
            let cut = || -> std::io::Result<bool> {
                let file = OpenOptions::new().write(true).open(&path)?;
                let length = file.metadata()?.len();
                if length > expected {
                    file.set_len(expected)?;
                }
                Ok(length >= expected)
            };
            match cut() {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) if error.kind() == ErrorKind::NotFound && expected == 0 => break,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(Error::file("cut", &path)(error)),
            }
        }
        let tree = self.tree(size)?;
        Ok(Some(tree).filter(|tree| tree.root().as_ref() == Some(root)))
    }

    /// Removes the files.
    pub(crate) fn remove(&self) -> Result<(), Error> {
        for level in 0..STORED_LEVELS {
            let path = self.path(level);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(Error::file("remove", &path)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    /// The tree of the first `size` leaves, of those that the files have.
    pub(crate) fn tree(&self, size: u64) -> Result<Range, Error> {
        let mut nodes = self.nodes();
        let mut at = 0;
        let mut hashes = Vec::new();
        // The nodes that cover it: one for each bit of the size.
        for level in (0..u64::BITS as u8).rev().filter(|level| size >> level & 1 == 1) {
            hashes.push(nodes.node(NodeId { level, index: at >> level })?);
            at += 1 << level;
        }
        Ok(Range::from_hashes(0, size, &hashes).expect("a tree is covered by one node for each bit of its size"))
    }

    /// Reads nodes.
    pub(crate) fn nodes(&self) -> Nodes<'_> {
        Nodes { tiles: self, levels: [const { None }; STORED_LEVELS] }
    }
}

/// Reads a tree's nodes. Of each stored level it has the tile that was read last: a proof needs no other.
#[derive(Debug)]
pub(crate) struct Nodes<'a> {
    tiles: &'a Tiles,
    levels: [Option<Tile>; STORED_LEVELS],
}

#[derive(Debug)]
struct Tile {
    file: File,
    number: u64,
    hashes: Vec<Hash>,
}

impl Nodes<'_> {
    /// A node whose leaves are all in the tree.
    pub(crate) fn node(&mut self, NodeId { level, index }: NodeId) -> Result<Hash, Error> {
        let (stored, above) = (usize::from(level / TILE_LEVELS), level % TILE_LEVELS);
        let first = index << above;
        let path = self.tiles.path(stored);
        let tile = Tile::load(&mut self.levels[stored], &path, first / TILE_HASHES as u64)?;
        let from = (first % TILE_HASHES as u64) as usize;
        let hashes = tile.hashes.get(from..from + (1 << above)).ok_or(Error::Tiles { path })?;
        if let [hash] = hashes {
            return Ok(*hash);
        }
        let mut tree = Range::new(0);
        tree.extend(hashes, |_, _| {});
        Ok(tree.root().expect("it begins at 0"))
    }
}

impl Tile {
    fn load<'a>(place: &'a mut Option<Tile>, path: &Path, number: u64) -> Result<&'a Tile, Error> {
        let mut tile = match place.take() {
            Some(tile) if tile.number == number => return Ok(place.insert(tile)),
            Some(tile) => tile,
            None => {
                let file = File::open(path).map_err(Error::file("open", path))?;
                Tile { file, number, hashes: Vec::with_capacity(TILE_HASHES) }
            }
        };
        let mut bytes = Vec::with_capacity(TILE_HASHES * HASH_BYTES);
        let mut read = || -> std::io::Result<()> {
            tile.file.seek(SeekFrom::Start(number * (TILE_HASHES * HASH_BYTES) as u64))?;
            (&tile.file).take((TILE_HASHES * HASH_BYTES) as u64).read_to_end(&mut bytes).map(drop)
        };
        read().map_err(Error::file("read", path))?;
        tile.number = number;
        tile.hashes.clear();
        tile.hashes.extend(bytes.as_chunks::<HASH_BYTES>().0.iter().map(|hash| Hash::from_bytes(*hash)));
        Ok(place.insert(tile))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crypto::merkle::{Path as Way, is_consistent, is_included, leaf};

    fn leaves(from: u64, to: u64) -> Vec<Hash> {
        (from..to).map(|at| leaf(7, at as u32, &crypto::genesis(7, at as u32))).collect()
    }

    #[test]
    fn a_tree_from_the_disk_is_the_one_in_memory_and_proves_its_leaves() {
        let root = tempfile::tempdir().unwrap();
        let tiles = Tiles::new(root.path().join("t"));
        let (mut tree, mut plain) = (Range::new(0), Range::new(0));
        for (from, to) in [(0, 1), (1, 2), (2, 255), (255, 256), (256, 700), (700, 66_000), (66_000, 66_001)] {
            tiles.extend(&mut tree, &leaves(from, to)).unwrap();
            leaves(from, to).into_iter().for_each(|leaf| plain.push(leaf, |_, _| {}));
            assert_eq!(tiles.tree(to).unwrap(), plain, "{to} leaves");
            assert_eq!(tiles.open(to, &plain.root().unwrap()).unwrap(), Some(plain.clone()));
        }
        let (size, whole) = (66_001, plain.root().unwrap());
        let mut nodes = tiles.nodes();
        for index in [0, 1, 255, 256, 65_535, 65_536, 66_000] {
            let proof = Way::inclusion(index, size).unwrap().hashes(|id| nodes.node(id)).unwrap();
            assert!(is_included(index, size, &leaves(index, index + 1)[0], &proof, &whole), "leaf {index}");
            let old = tiles.tree(index).unwrap().root().unwrap();
            let proof = Way::consistency(index, size).unwrap().hashes(|id| nodes.node(id)).unwrap();
            assert!(is_consistent(index, size, &proof, &old, &whole), "from {index}");
        }
    }

    #[test]
    fn what_was_not_counted_is_cut_and_what_is_missing_is_noticed() {
        let root = tempfile::tempdir().unwrap();
        let tiles = Tiles::new(root.path().join("t"));
        let mut tree = Range::new(0);
        tiles.extend(&mut tree, &leaves(0, 300)).unwrap();
        let before = tree.root().unwrap();
        let kept = tree.clone();
        tiles.extend(&mut tree, &leaves(300, 600)).unwrap();
        // The state says 300: all behind that was written and not counted.
        assert_eq!(tiles.open(300, &before).unwrap(), Some(kept.clone()));
        assert_eq!(std::fs::metadata(tiles.path(0)).unwrap().len(), 300 * 32);
        assert_eq!(std::fs::metadata(tiles.path(1)).unwrap().len(), 32);
        assert_eq!(tiles.open(300, &Hash::EMPTY_TREE).unwrap(), None, "another root");
        assert_eq!(tiles.open(301, &before).unwrap(), None, "a leaf is missing");
        std::fs::remove_file(tiles.path(1)).unwrap();
        assert_eq!(tiles.open(300, &before).unwrap(), None, "a level is missing");
    }
}
