//! Floor 1: decisions. Facts go in as arguments, a decision comes out: no disk, no clock, no process.

pub mod classify;
pub mod give_up;
pub mod heard;
pub mod nearest;
pub mod outcome;
