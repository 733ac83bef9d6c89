//! Power cuts.

pub fn rounds() {}
