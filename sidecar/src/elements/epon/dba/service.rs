//! How much an ONU is granted: the services of IPACT (Kramer, Mukherjee, Pesavento, 2002), and one by class. All in
//! quanta of data, without what a burst needs beside it.

use crate::config::{Scope, Value};
use crate::elements::epon::mpcp::QUEUES;

/// What the ONUs asked for, by class.
pub(super) type Request = [u32; QUEUES];

/// See the module's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// Always the whole window.
    Fixed,
    /// What is asked for, up to the window.
    Limited,
    /// What is asked for.
    Gated,
    /// What is asked for and some more, up to the window: for what comes meanwhile.
    Credit,
    /// Once a cycle, over all ONUs: the most urgent class of all first, each class in equal shares.
    Class,
}

const NAMES: [(&str, Service); 5] = [
    ("fixed", Service::Fixed),
    ("limited", Service::Limited),
    ("gated", Service::Gated),
    ("credit", Service::Credit),
    ("class", Service::Class),
];

impl Value for Service {
    fn parse(text: &str, _: &Scope<'_>) -> Result<Self, String> {
        let found = NAMES.iter().find(|(name, _)| *name == text);
        let expected = || format!("expected fixed, limited, gated, credit or class, got '{text}'");
        found.map(|(_, service)| *service).ok_or_else(expected)
    }
}

impl std::fmt::Display for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(NAMES.iter().find(|(_, service)| service == self).map_or("", |(name, _)| name))
    }
}

impl Service {
    /// What one ONU is granted that asked for `asked`, with a window of `window`.
    pub(super) fn size(self, asked: u32, window: u32, credit: u32) -> u32 {
        match self {
            Self::Fixed => window,
            Self::Limited | Self::Class => asked.min(window),
            Self::Gated => asked,
            Self::Credit => asked.saturating_add(credit).min(window),
        }
    }
}

/// What each ONU is granted of `budget`: class by class, and where a class asks for more than is left, what is left in
/// equal shares.
pub(super) fn by_class(requests: &[Request], budget: u32) -> Vec<u32> {
    let mut granted = vec![0; requests.len()];
    let mut left = budget;
    for class in 0..QUEUES {
        let asked: Vec<u32> = requests.iter().map(|request| request[class]).collect();
        let most = fair_share(&asked, left);
        for (granted, asked) in granted.iter_mut().zip(asked) {
            let given = asked.min(most);
            *granted += given;
            left -= given;
        }
    }
    granted
}

/// The largest share so that all who asked, each with at most the share, get no more than `budget`.
fn fair_share(asked: &[u32], budget: u32) -> u32 {
    let mut sorted = asked.to_vec();
    sorted.sort_unstable();
    let mut left = budget;
    for (at, asked) in sorted.iter().enumerate() {
        let share = left / (sorted.len() - at) as u32;
        if *asked > share {
            return share;
        }
        left -= asked;
    }
    u32::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_grant_as_ipact_has_them() {
        let sizes = |asked| NAMES.map(|(_, service)| service.size(asked, 1000, 300));
        //                        fixed limited gated credit class
        assert_eq!(sizes(0), [1000, 0, 0, 300, 0]);
        assert_eq!(sizes(900), [1000, 900, 900, 1000, 900]);
        assert_eq!(sizes(5000), [1000, 1000, 5000, 1000, 1000]);
    }

    fn request(classes: [u32; 3]) -> Request {
        let mut request = Request::default();
        request[..3].copy_from_slice(&classes);
        request
    }

    #[test]
    fn urgent_classes_are_served_at_all_onus_before_others_at_any() {
        let requests = [request([100, 0, 900]), request([50, 600, 0]), request([0, 100, 0])];
        assert_eq!(by_class(&requests, 2000), [1000, 650, 100]);
        // 150 of class 0; of class 1, 100 and then what is left.
        assert_eq!(by_class(&requests, 450), [100, 250, 100]);
        assert_eq!(by_class(&requests, 120), [70, 50, 0]);
        assert_eq!(by_class(&[], 100), Vec::<u32>::new());
    }

    #[test]
    fn a_share_is_fair() {
        assert_eq!(fair_share(&[10, 500, 400], 300), 145);
        assert_eq!(fair_share(&[10, 20], 30), u32::MAX);
        assert_eq!(fair_share(&[7, 7, 7], 20), 6);
    }
}
