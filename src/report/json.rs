//! One JSON object per event and line, on standard output.

use super::Reporter;
use crate::{apply::Event, plan::StepId};
use serde_json::json;
use std::io::Write as _;

pub(super) struct Json;

fn step(id: &StepId) -> serde_json::Value {
    match &id.hook {
        None => json!({ "machine": id.machine, "part": id.part, "rm": id.rm }),
        Some(hook) => {
            json!({ "machine": id.machine, "part": id.part, "rm": id.rm, "point": hook.point, "hook": hook.name })
        }
    }
}

/// The event for programs; `version` is that of [`crate::plan::render::JSON_VERSION`].
pub(super) fn object(event: &Event) -> serde_json::Value {
    match event {
        Event::Started { step: id, action } => json!({ "event": "started", "step": step(id), "action": action }),
        Event::Progress { step: id, text } => json!({ "event": "progress", "step": step(id), "text": text }),
        Event::Finished { step: id, action, result, elapsed } => json!({
            "event": "finished",
            "step": step(id),
            "action": action,
            "ok": result.is_ok(),
            "error": result.as_ref().err().map(ToString::to_string),
            "help": result.as_ref().err().and_then(|e| e.help()),
            "stderr": result.as_ref().err().and_then(|e| e.stderr()),
            "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        }),
        Event::Skipped { step: id, because_of } => {
            json!({ "event": "skipped", "step": step(id), "because_of": step(because_of) })
        }
        Event::NotStarted { step: id } => json!({ "event": "not-started", "step": step(id) }),
        Event::CutOff { step: id } => json!({ "event": "cut-off", "step": step(id) }),
        Event::Interrupted { times } => json!({ "event": "interrupted", "times": times }),
    }
}

impl Reporter for Json {
    fn event(&mut self, event: &Event) {
        // A reader that went away must not end the run: what is under way goes on.
        writeln!(std::io::stdout(), "{}", object(event)).ok();
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests {
    use super::{super::samples, *};

    #[test]
    fn every_event_is_one_line_with_all_a_program_needs() {
        let lines: Vec<String> = samples::events().iter().map(|event| object(event).to_string()).collect();
        assert!(lines.iter().all(|line| !line.contains('\n')));
        insta::assert_snapshot!(lines.join("\n"), @r#"
        {"event":"started","step":{"machine":"web-1","part":"instance","rm":false},"action":"create"}
        {"event":"finished","step":{"machine":"web-1","part":"instance","rm":false},"action":"create","ok":true,"error":null,"help":null,"stderr":null,"elapsed_ms":1240}
        {"event":"started","step":{"machine":"db","part":"engine","rm":false},"action":"upgrade"}
        {"event":"progress","step":{"machine":"db","part":"engine","rm":false},"text":"connecting"}
        {"event":"progress","step":{"machine":"db","part":"engine","rm":false},"text":"install docker.io (1/2)"}
        {"event":"progress","step":{"machine":"db","part":"engine","rm":false},"text":"install docker.io (1/2)"}
        {"event":"finished","step":{"machine":"db","part":"engine","rm":false},"action":"upgrade","ok":false,"error":"`install docker.io` failed with exit status 100","help":"the host cannot reach its package mirror: check its network and its apt sources","stderr":"E: Failed to fetch http://deb.example/x.deb\nE: Unable to fetch some archives","elapsed_ms":1240}
        {"event":"skipped","step":{"machine":"behind","part":"instance","rm":false},"because_of":{"machine":"db","part":"engine","rm":false}}
        {"event":"not-started","step":{"machine":"late","part":"instance","rm":false}}
        "#);
    }
}
