//! Chains of SHA-256 over records, one or several at a time.
