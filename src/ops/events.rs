//! `events`: what changes in the repository here, as it changes. Writes nothing.

use super::Result;
use crate::a2a::feed::Follower;
use crate::a2a::root;
use crate::a2a::watch::Watch;
use crate::life::House;
use crate::model::feed::EventLine;
use crate::model::request::Since;

/// What is kept of the changes in the repository here, shown one by one; with `follow`, also those to come. Ends when nobody wants
/// to see more (`show` says false), or `stop` completes: then true.
pub async fn events(
    house: &House,
    since: Since,
    follow: bool,
    mut show: impl FnMut(&EventLine) -> bool,
    stop: impl Future<Output = ()>,
) -> Result<bool> {
    let project = super::list::project_here(house)?;
    let places = &house.settings.places;
    // What somebody else planted there tells nothing of ours.
    root::check(&places.root, rustix::process::getuid().as_raw())?;
    let mut follower = match since {
        Since::Beginning => Follower::new(places, &project, None),
        Since::Cursor(cursor) => Follower::new(places, &project, Some(cursor)),
        Since::Now => Follower::from_now(places, &project)?,
    };
    let copies = places.copies(&project);
    // The feed comes with the first change, and goes when the root is wiped.
    let dirs = [places.root.clone(), copies.0.clone(), copies.feed()];
    let mut watch = Watch::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        for line in follower.read()? {
            if !show(&line) {
                return Ok(false);
            }
        }
        if !follow {
            return Ok(false);
        }
        tokio::select! {
            () = watch.changed(&dirs) => {}
            () = &mut stop => return Ok(true),
        }
    }
}
