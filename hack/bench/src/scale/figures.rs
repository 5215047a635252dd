//! The figures of a run, as written to JSON.

use serde::{Deserialize, Serialize};

use crate::stats::Sample;

/// All figures for one size. Times are in seconds unless the name says milliseconds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Figures {
    pub organizations: usize,
    pub users: usize,
    pub bindings: usize,
    pub converge: Converge,
    pub floor: Floor,
    /// Writes that nobody reacts to, one after the other.
    pub bare_write_ms: Sample,
    /// From the answer to a change of one RoleBinding until the API server received the operator's write.
    pub reaction_ms: Sample,
    /// From the answer to that change until a watch shows the native object.
    pub granted_ms: Sample,
    /// From the answer to the suspension of a user with 20 grants until a watch shows none.
    pub suspended_ms: Sample,
    /// The same 20 writes by a bare client, all in parallel.
    pub bare_suspension_ms: Sample,
    /// The same by an administrator, who needs no authorization checks.
    #[serde(default)]
    pub unchecked_suspension_ms: Sample,
    /// The same as `suspended_ms`, while grants are projected in every organization.
    pub suspended_under_load_ms: Sample,
    /// A user with a site role over all organizations.
    pub everywhere: Everywhere,
    /// From the answer to the deletion of a native binding until a watch shows it again.
    pub repaired_ms: Sample,
    /// The same write by a bare client.
    pub bare_repair_ms: Sample,
    /// Native writes after every object was touched.
    pub touch_writes: u64,
    pub restart: Restart,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Converge {
    /// Native objects.
    pub native: usize,
    /// Until all of them existed.
    pub seconds: f64,
    /// Objects of ours, all with a status.
    pub statuses: usize,
    /// Until all of them had it.
    pub ready_seconds: f64,
    /// The number of native objects over time: (second, count).
    pub course: Vec<(f64, usize)>,
    /// Processor time in seconds.
    pub cpu_seconds: f64,
    pub resident_mib: f64,
    pub peak_mib: f64,
}

/// A bare client with the operator's credentials that writes the same objects.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Floor {
    /// Native objects a second, by requests in flight, on a part of the objects.
    pub rates: Vec<(usize, f64)>,
    /// The best of them.
    pub in_flight: usize,
    pub native_seconds: f64,
    pub status_seconds: f64,
    /// The number of native objects over time: (second, count).
    pub course: Vec<(f64, usize)>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Everywhere {
    /// Native bindings that name the user.
    pub grants: usize,
    pub seconds: f64,
    /// The same writes by a bare client.
    pub bare_seconds: f64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Restart {
    /// Until the operator leads and is idle.
    pub seconds: f64,
    /// A bare client's time to list the same objects.
    pub list_seconds: f64,
    pub writes: u64,
    /// Lists and gets.
    pub reads: u64,
    pub watches: u64,
    pub resident_mib: f64,
    pub peak_mib: f64,
}

/// Figures of the program that do not depend on the size of the site.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Program {
    pub mib: f64,
    pub linked_statically: bool,
    pub start_ms: Sample,
}

/// The JSON file.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub program: Program,
    /// Smallest first; several of one size if it was run several times.
    pub runs: Vec<Figures>,
}

impl Report {
    /// The runs of each size, smallest first.
    pub fn by_size(&self) -> impl Iterator<Item = &[Figures]> {
        self.runs.chunk_by(|a, b| a.organizations == b.organizations)
    }

    /// For each size, the run with the median time to converge.
    pub fn sizes(&self) -> Vec<&Figures> {
        let middle = |runs: &'_ [Figures]| {
            let mut order: Vec<usize> = (0..runs.len()).collect();
            order.sort_by(|a, b| runs[*a].converge.seconds.total_cmp(&runs[*b].converge.seconds));
            order[runs.len() / 2]
        };
        self.by_size().map(|runs| &runs[middle(runs)]).collect()
    }
}
