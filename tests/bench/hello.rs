//! The floor of every start: a process that says a line and ends. Built dynamically, with the profile of a release.

fn main() {
    println!("hello");
}
