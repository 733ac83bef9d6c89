//! Deaths at random.

pub fn rounds() {}
