//! Floor 1: decisions. Facts in, decision out; no clock, no disk, no process, no `async`.

pub mod card;
pub mod classify;
pub mod clean;
pub mod delegation;
pub mod give_up;
pub mod glob;
pub mod guide;
pub mod heard;
pub mod mail;
pub mod mention;
pub mod naming;
pub mod nearest;
pub mod next;
pub mod outcome;
pub mod own_task;
pub mod place;
pub mod prompt;
pub mod refusal;
pub mod replay;
pub mod report;
pub mod reservations;
pub mod resume;
pub mod tree;
pub mod verbs;
pub mod wording;
pub mod work;
