//! Directory entries: those that are seen, and those that a power cut leaves.

use std::collections::BTreeMap;

use super::random::Rng;

#[derive(Clone, Debug)]
pub(super) struct Names {
    /// Which inode each name leads to.
    pub(super) files: BTreeMap<String, usize>,
    durable: BTreeMap<String, usize>,
    /// Directories but the root, and whether their entries are durable.
    pub(super) directories: BTreeMap<String, bool>,
}

pub(super) fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or(".", |(directory, _)| directory)
}

impl Names {
    /// All durable.
    pub(super) fn new(files: BTreeMap<String, usize>, directories: impl IntoIterator<Item = String>) -> Self {
        let directories = directories.into_iter().map(|name| (name, true)).collect();
        Self { durable: files.clone(), files, directories }
    }

    pub(super) fn is_directory(&self, name: &str) -> bool {
        name == "." || self.directories.contains_key(name)
    }

    pub(super) fn durable(&self) -> &BTreeMap<String, usize> {
        &self.durable
    }

    /// What lies directly in a directory: files and directories, sorted.
    pub(super) fn list(&self, directory: &str) -> Vec<String> {
        let all = self.files.keys().chain(self.directories.keys());
        let inside = all.filter(|name| parent(name) == directory);
        let last = |name: &String| name.rsplit_once('/').map_or(name.as_str(), |(_, last)| last).to_owned();
        let mut names: Vec<String> = inside.map(last).collect();
        names.sort_unstable();
        names
    }

    /// Makes the entries of a directory durable.
    pub(super) fn publish(&mut self, directory: &str) {
        self.durable.retain(|name, _| parent(name) != directory);
        let inside = self.files.iter().filter(|(name, _)| parent(name) == directory);
        self.durable.extend(inside.map(|(name, &inode)| (name.clone(), inode)));
        for (_, durable) in self.directories.iter_mut().filter(|(name, _)| parent(name) == directory) {
            *durable = true;
        }
    }

    /// Whether any entry is not durable.
    pub(super) fn has_unflushed(&self) -> bool {
        self.files != self.durable || self.directories.values().any(|durable| !durable)
    }

    pub(super) fn has_unflushed_in(&self, directory: &str) -> bool {
        let new = |(name, inode): (&String, &usize)| parent(name) == directory && self.durable.get(name) != Some(inode);
        let made = |(name, durable): (&String, &bool)| parent(name) == directory && !durable;
        self.files.iter().any(new) || self.directories.iter().any(made)
    }

    /// What a power cut leaves: each change that was not flushed is there or not. Says which new names are gone.
    pub(super) fn cut(&mut self, rng: &mut Rng, lose_all: bool) -> Vec<String> {
        let mut lost = Vec::new();
        let mut gone = |lost: &mut Vec<String>, name: &str| {
            let gone = lose_all || rng.coin();
            if gone {
                lost.push(name.to_owned());
            }
            gone
        };
        self.directories.retain(|name, durable| *durable || !gone(&mut lost, name));
        let durable = &self.durable;
        self.files.retain(|name, inode| durable.get(name) == Some(inode) || !gone(&mut lost, name));
        // A name that was removed, and whose removal was not flushed, may be back.
        for (name, &inode) in &self.durable {
            if !self.files.contains_key(name) && rng.coin() {
                self.files.insert(name.clone(), inode);
            }
        }
        let directories = &self.directories;
        self.files.retain(|name, _| parent(name) == "." || directories.contains_key(parent(name)));
        self.settle();
        lost
    }

    /// A damaged directory has lost a name for good.
    pub(super) fn forget(&mut self, name: &str) {
        self.files.remove(name);
        self.durable.remove(name);
    }

    pub(super) fn settle(&mut self) {
        self.durable = self.files.clone();
        self.directories.values_mut().for_each(|durable| *durable = true);
    }
}
