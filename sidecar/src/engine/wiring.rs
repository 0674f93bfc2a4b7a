//! Who is connected to whom: edges as index arrays, fixed when the router is built.

/// One end of a connection: an element and a port of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Edge {
    pub(crate) element: u32,
    pub(crate) port: u32,
}

impl Edge {
    /// Not connected.
    pub(crate) const NONE: Self = Self { element: u32::MAX, port: 0 };
}

/// The connections of a router. Outputs of all elements are numbered through, and so are inputs.
#[derive(Debug, Default)]
pub(crate) struct Wiring {
    /// Per element and one more: the number of its first output.
    out_base: Vec<u32>,
    /// Per output: where a push goes.
    out_edges: Vec<Edge>,
    /// Per output: whether it is pull.
    out_pull: Vec<bool>,
    in_base: Vec<u32>,
    /// Per input: where a pull comes from.
    in_edges: Vec<Edge>,
    in_pull: Vec<bool>,
    /// Per pull output: elements whose tasks pull from it in the end.
    pullers: Vec<Vec<u32>>,
}

impl Wiring {
    /// Adds the next element, with one entry a port: whether it is pull.
    pub(crate) fn add_element(&mut self, inputs: &[bool], outputs: &[bool]) {
        if self.out_base.is_empty() {
            self.out_base.push(0);
            self.in_base.push(0);
        }
        self.in_pull.extend_from_slice(inputs);
        self.out_pull.extend_from_slice(outputs);
        self.in_edges.resize(self.in_pull.len(), Edge::NONE);
        self.out_edges.resize(self.out_pull.len(), Edge::NONE);
        self.in_base.push(self.in_pull.len() as u32);
        self.out_base.push(self.out_pull.len() as u32);
    }

    pub(crate) fn connect(&mut self, from: Edge, to: Edge) {
        let output = self.output(from.element, from.port);
        let input = self.input(to.element, to.port);
        // A push output has one edge, a pull input too; the other ends may have several.
        if let Some(slot) = self.out_edges.get_mut(output as usize) {
            *slot = to;
        }
        if let Some(slot) = self.in_edges.get_mut(input as usize) {
            *slot = from;
        }
    }

    /// To be called when all connections are made.
    pub(crate) fn finish(&mut self) {
        let outputs = self.out_edges.len();
        self.pullers = vec![Vec::new(); outputs];
        for output in 0..outputs {
            if self.out_pull[output] {
                let mut seen = vec![false; outputs];
                let mut found = Vec::new();
                self.find_pullers(output, &mut seen, &mut found);
                found.sort_unstable();
                found.dedup();
                self.pullers[output] = found;
            }
        }
    }

    fn find_pullers(&self, output: usize, seen: &mut [bool], found: &mut Vec<u32>) {
        if std::mem::replace(&mut seen[output], true) {
            return;
        }
        let to = self.out_edges[output];
        if to == Edge::NONE {
            return;
        }
        found.push(to.element);
        for next in self.outputs(to.element) {
            if self.out_pull[next] {
                self.find_pullers(next, seen, found);
            }
        }
    }

    /// The elements in which packets pushed out by `element` can end: those with push inputs and no push output.
    pub(crate) fn push_ends(&self, element: u32) -> Vec<u32> {
        let mut seen = vec![false; self.in_base.len()];
        let (mut at, mut ends) = (vec![element], Vec::new());
        while let Some(element) = at.pop() {
            let before = at.len();
            let mut pushes = false;
            for output in self.outputs(element) {
                if self.out_pull[output] || self.out_edges[output] == Edge::NONE {
                    continue;
                }
                pushes = true;
                let next = self.out_edges[output].element;
                if !std::mem::replace(&mut seen[next as usize], true) {
                    at.push(next);
                }
            }
            if !pushes {
                ends.push(element);
            }
            at[before..].reverse();
        }
        ends
    }

    fn outputs(&self, element: u32) -> std::ops::Range<usize> {
        let element = element as usize;
        self.out_base[element] as usize..self.out_base[element + 1] as usize
    }

    #[inline(always)]
    pub(crate) fn output_count(&self, element: u32) -> usize {
        (self.out_base[element as usize + 1] - self.out_base[element as usize]) as usize
    }

    #[inline(always)]
    pub(crate) fn input_count(&self, element: u32) -> usize {
        (self.in_base[element as usize + 1] - self.in_base[element as usize]) as usize
    }

    /// The number of an output among all outputs.
    #[inline(always)]
    pub(crate) fn output(&self, element: u32, port: u32) -> u32 {
        self.out_base[element as usize] + port
    }

    #[inline(always)]
    fn input(&self, element: u32, port: u32) -> u32 {
        self.in_base[element as usize] + port
    }

    /// Where a push out of output number `output` goes.
    #[inline(always)]
    pub(crate) fn push_target(&self, output: u32) -> Edge {
        self.out_edges.get(output as usize).copied().unwrap_or(Edge::NONE)
    }

    /// Where a pull by input `port` of `element` comes from.
    #[inline(always)]
    pub(crate) fn pull_source(&self, element: u32, port: u32) -> Edge {
        self.in_edges.get(self.input(element, port) as usize).copied().unwrap_or(Edge::NONE)
    }

    pub(crate) fn is_pull_input(&self, element: u32, port: u32) -> bool {
        self.in_pull.get(self.input(element, port) as usize).copied().unwrap_or(false)
    }

    pub(crate) fn is_pull_output(&self, element: u32, port: u32) -> bool {
        self.out_pull.get(self.output(element, port) as usize).copied().unwrap_or(false)
    }

    #[inline]
    pub(crate) fn pullers(&self, element: u32, port: u32) -> &[u32] {
        self.pullers.get(self.output(element, port) as usize).map_or(&[], Vec::as_slice)
    }
}
