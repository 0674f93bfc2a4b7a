//! Queues, schedulers, and what moves packets from pull to push.

use crate::element::Descriptor;

mod bucket;
mod prio_sched;
mod queue;
mod rated_unqueue;
mod round_robin_sched;
mod round_robin_switch;
mod shaper;
mod unqueue;

pub(super) use bucket::TokenBucket;

pub(super) static GROUP: &[&Descriptor] = &[
    &prio_sched::DESCRIPTOR,
    &queue::DESCRIPTOR,
    &queue::SIMPLE,
    &rated_unqueue::DESCRIPTOR,
    &rated_unqueue::BANDWIDTH,
    &round_robin_sched::DESCRIPTOR,
    &round_robin_switch::DESCRIPTOR,
    &shaper::DESCRIPTOR,
    &shaper::BANDWIDTH,
    &unqueue::DESCRIPTOR,
];
