//! Steps on a certificate: issued if the plan says so, then put on the host.

use super::{StepError, host::Host, phase, step::Task};
use crate::{
    engine::spec::TLS_PORT,
    record::{CertificateRecord, certificate_names},
    store::{authority, issued},
};
use std::collections::BTreeSet;

pub(super) async fn perform(task: &Task, names: &BTreeSet<String>, issue: bool) -> Result<(), StepError> {
    let mut record = task.load()?;
    let intent = task.intent(&record);
    task.intend(&mut record, intent)?;
    let store = &*task.world.store;
    let address = record.instance.as_ref().map_or("", |i| i.address.as_str());
    let names = certificate_names(&record.name, address, names);
    let (issued, certificate) = match &record.certificate {
        Some(issued) if !issue => (issued.clone(), issued::certificate(store, &record.name)?),
        _ => {
            task.progress(phase::ISSUING);
            let (issued, pem) = authority::server_certificate(store, &record.name, &names, task.world.clock.now())?;
            // As they were asked for, so that asking for the same again is no change.
            (CertificateRecord { names, ..issued }, pem)
        }
    };
    let host = Host::reach(task, &mut record, TLS_PORT).await?;
    host.run(task, &host.provisioner.certificate(&host.facts, &certificate)).await?;
    record.certificate = Some(issued);
    task.done(&mut record)
}
