//! Queues, schedulers, and what moves packets from pull to push.

use crate::element::Descriptor;

mod bucket;
mod delay;
mod delay_shaper;
mod delay_unqueue;
mod ewma;
mod fixed_point;
mod front_drop_queue;
mod interval;
mod link_unqueue;
mod meter;
mod mixed_queue;
mod prio_sched;
mod pull_switch;
mod queue;
mod rate;
mod rated_splitter;
mod rated_unqueue;
mod red;
mod round_robin_sched;
mod round_robin_switch;
mod shaper;
mod stride_sched;
mod timed_sink;
mod timed_unqueue;
mod unit;
mod unqueue;

pub(super) use bucket::TokenBucket;
pub(super) use ewma::{RateEwma, show_rate};
pub(super) use fixed_point::{show_fixed_point, to_fixed_point};
pub(super) use interval::{SHORTEST, show_interval};

pub(super) static GROUP: &[&Descriptor] = &[
    &delay_shaper::DESCRIPTOR,
    &delay_unqueue::DESCRIPTOR,
    &front_drop_queue::DESCRIPTOR,
    &link_unqueue::DESCRIPTOR,
    &meter::DESCRIPTOR,
    &meter::BANDWIDTH,
    &mixed_queue::DESCRIPTOR,
    &prio_sched::DESCRIPTOR,
    &pull_switch::DESCRIPTOR,
    &queue::DESCRIPTOR,
    &queue::FULL_NOTE,
    &queue::NOTIFIER,
    &queue::QUICK_NOTE,
    &queue::THREAD_SAFE,
    &queue::SIMPLE,
    &rated_splitter::DESCRIPTOR,
    &rated_splitter::BANDWIDTH,
    &rated_unqueue::DESCRIPTOR,
    &rated_unqueue::BANDWIDTH,
    &red::DESCRIPTOR,
    &round_robin_sched::DESCRIPTOR,
    &round_robin_switch::DESCRIPTOR,
    &shaper::DESCRIPTOR,
    &shaper::BANDWIDTH,
    &stride_sched::DESCRIPTOR,
    &timed_sink::DESCRIPTOR,
    &timed_unqueue::DESCRIPTOR,
    &timed_unqueue::BURSTER,
    &unqueue::DESCRIPTOR,
];
