//! What is known of how a tenant, or a stream with a key of its own, is sealed, and whether it is erased.

use kernel::Encryption;

/// Whether something is erased, as far as the answers tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Erased {
    #[default]
    No,
    /// It was asked for, and not answered.
    Maybe,
    /// It was answered, or an opening said so.
    Yes,
}

/// What the answers tell of a tenant's or a stream's keys.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Secrecy {
    /// The newest key that surely seals, by its number; 0 if there is none.
    key: u32,
    erased: Erased,
    /// Erasures that were asked for in this opening, and not answered.
    asking: u32,
    /// When a key was answered last, and the erasure, in virtual time.
    key_since: u64,
    erased_since: u64,
}

impl Secrecy {
    pub(crate) fn erased(&self) -> Erased {
        self.erased
    }

    /// The newest key that surely seals it; 0 without.
    pub(crate) fn key(&self) -> u32 {
        self.key
    }

    /// It was said that this key seals from here on.
    pub(crate) fn introduced(&mut self, key_id: u32, now: u64) {
        if key_id > self.key {
            (self.key, self.key_since) = (key_id, now);
        }
    }

    pub(crate) fn erasure_asked(&mut self) {
        self.asking += 1;
        self.erased = self.erased.max(Erased::Maybe);
    }

    pub(crate) fn erasure_done(&mut self, now: u64) {
        self.asking = self.asking.saturating_sub(1);
        if self.erased < Erased::Yes {
            (self.erased, self.erased_since) = (Erased::Yes, now);
        }
    }

    pub(crate) fn erasure_refused(&mut self) {
        self.asking = self.asking.saturating_sub(1);
        if self.asking == 0 && self.erased == Erased::Maybe {
            self.erased = Erased::No;
        }
    }

    /// Whoever asked before an opening is gone.
    pub(crate) fn opened(&mut self) {
        self.asking = 0;
    }

    /// Takes what a list says after an opening. `None` if that fits what was answered; else since when another answer was known, `u64::MAX`
    /// if it never was. `sealed` says that it was made with a key.
    pub(crate) fn settle(&mut self, found: Encryption, sealed: bool) -> Option<u64> {
        let before = *self;
        self.asking = 0;
        self.erased = if found == Encryption::Erased { Erased::Yes } else { Erased::No };
        match (before.erased, found) {
            (Erased::No, Encryption::Erased) => return Some(u64::MAX),
            (_, Encryption::Erased) => return None,
            (Erased::Yes, _) => return Some(before.erased_since),
            (Erased::No | Erased::Maybe, _) => {}
        }
        let key_id = if let Encryption::Aes256Gcm { key_id } = found { key_id } else { 0 };
        self.key = key_id;
        let lost = key_id < before.key || key_id == 0 && sealed;
        lost.then_some(before.key_since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_answered_stays_so_over_an_opening() {
        let mut asked = Secrecy::default();
        asked.introduced(3, 10);
        assert_eq!(asked.settle(Encryption::Aes256Gcm { key_id: 4 }, true), None, "asked for, and not answered");
        assert_eq!(asked.settle(Encryption::Aes256Gcm { key_id: 3 }, true), Some(10));
        assert_eq!(asked.settle(Encryption::None, true), Some(10));
        assert_eq!(Secrecy::default().settle(Encryption::None, true), Some(0), "it was made with a key");
        assert_eq!(Secrecy::default().settle(Encryption::None, false), None);

        let mut erased = Secrecy::default();
        assert_eq!(erased.settle(Encryption::Erased, true), Some(u64::MAX), "nobody asked for it");
        let mut erased = Secrecy::default();
        erased.erasure_asked();
        assert_eq!(erased.erased(), Erased::Maybe);
        assert_eq!(erased.settle(Encryption::Aes256Gcm { key_id: 1 }, true), None);
        erased.erasure_asked();
        erased.erasure_asked();
        erased.erasure_refused();
        assert_eq!(erased.erased(), Erased::Maybe);
        erased.erasure_done(20);
        assert_eq!(erased.settle(Encryption::Erased, true), None);
        assert_eq!(erased.settle(Encryption::Aes256Gcm { key_id: 1 }, true), Some(20));
    }
}
