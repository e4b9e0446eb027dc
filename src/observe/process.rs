//! What the operating system knows of this process, for the metrics.

use std::fs;

use metrics::{counter, describe_counter, describe_gauge, gauge};
use rustix::{
    param::{clock_ticks_per_second, page_size},
    process::{Resource, getrlimit},
};

/// Names the metrics for their readers.
pub fn describe() {
    describe_counter!("process_cpu_seconds_total", "Time this process has had a processor");
    describe_gauge!("process_resident_memory_bytes", "Memory this process holds");
    describe_gauge!("process_virtual_memory_bytes", "Addresses this process has mapped");
    describe_gauge!("process_threads", "Threads of this process");
    describe_gauge!("process_open_fds", "Files and sockets this process has open");
    describe_gauge!("process_max_fds", "Most files and sockets this process may open");
    describe_gauge!("process_start_time_seconds", "When this process started, in seconds since 1970");
}

/// Reads them all again. What cannot be read keeps its last value.
pub fn measure() {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return };
    // The program's name stands in parentheses and may hold anything.
    let Some((_, fields)) = stat.rsplit_once(')') else { return };
    let fields: Vec<f64> = fields.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect();
    // Numbered as in proc_pid_stat(5), where the state, first here, is number 3.
    let field = |number: usize| fields.get(number - 3).copied().unwrap_or_default();
    let ticks = clock_ticks_per_second() as f64;
    counter!("process_cpu_seconds_total").absolute(((field(14) + field(15)) / ticks) as u64);
    gauge!("process_threads").set(field(20));
    gauge!("process_virtual_memory_bytes").set(field(23));
    gauge!("process_resident_memory_bytes").set(field(24) * page_size() as f64);
    if let Some(booted) = booted_at() {
        gauge!("process_start_time_seconds").set(booted + field(22) / ticks);
    }
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        gauge!("process_open_fds").set(open.count() as f64);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        gauge!("process_max_fds").set(most as f64);
    }
}

fn booted_at() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime ")).and_then(|seconds| seconds.trim().parse().ok())
}
