//! Driver `digitalocean` against an emulator with a memory, through `prism proxy` on the provider's own document: both
//! sides are held to it. Whatever is lost on the way, there is one droplet, and none and nothing else after its removal.
//!
//! It needs `npm` and that document (`MACHINE_LAB_SPECS`, or `../shared/lab/specs`), and neither root nor a network.

#![expect(clippy::disallowed_methods, reason = "it looks at files as a user would")]

use crate::ocean::{Ocean, emulator::Words};

mod accounts;
mod case;
mod container;
mod faults;
mod kills;
mod life;
mod refusals;

/// Pain 24 beside: what was made, kept and said holds no token.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_provider_and_its_document_agree_with_the_driver() {
    let Some(ocean) = Ocean::new(Box::new(Words)) else { return };
    let ocean = &ocean;
    tokio::join!(
        life::life(ocean),
        faults::made_once(ocean),
        faults::cut_off(ocean),
        faults::changed_once(ocean),
        refusals::refused(ocean),
        life::of_others(ocean),
        accounts::another(ocean),
        accounts::removed_by_hand(ocean)
    );
    ocean.keeps_to_the_document();
    tokio::task::block_in_place(|| refusals::before(ocean));
    ocean.keeps_to_the_document();
    refusals::full(ocean).await;
    ocean.keeps_to_the_document();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn killed_at_any_point_there_is_one_droplet_and_rm_leaves_nothing() {
    let Some(ocean) = Ocean::new(Box::new(Words)) else { return };
    Box::pin(kills::at_every_point(&ocean)).await;
    ocean.keeps_to_the_document();
}
