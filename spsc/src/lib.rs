//! Bounded lock-free single-producer single-consumer rings and a doorbell.
