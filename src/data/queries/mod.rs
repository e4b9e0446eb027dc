//! SQL of tables that no part owns: the audit log and the runs of periodic jobs.

pub mod audit;
pub mod turns;
