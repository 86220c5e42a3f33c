//! A directed graph with a deterministic order, which knows nothing of machines.

use petgraph::{
    Direction,
    algo::{tarjan_scc, toposort},
    graph::DiGraph,
    prelude::NodeIndex,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};
use thiserror::Error;

/// Keys that wait for each other, in the order of waiting; the last waits for the first.
#[derive(Clone, Debug, Eq, Error, PartialEq)]
#[error("{}", self.path())]
pub struct Cycle<K: fmt::Debug + fmt::Display>(pub Vec<K>);

impl<K: fmt::Debug + fmt::Display> Cycle<K> {
    /// `a → b → a`.
    #[must_use]
    pub fn path(&self) -> String {
        let mut names: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        names.extend(names.first().cloned());
        names.join(" → ")
    }
}

/// Nodes of type `N` under keys of type `K`. An edge means "runs after".
#[derive(Clone, Debug)]
pub struct Graph<K, N> {
    /// Nodes in the order of their keys, so that they are their own index.
    inner: DiGraph<(K, N), ()>,
}

impl<K: Clone + Ord + fmt::Debug + fmt::Display, N> Graph<K, N> {
    /// Builds a graph from nodes and `(later, earlier)` edges. Edges to absent keys are dropped.
    ///
    /// # Errors
    /// Returns one cycle for each group of keys that wait for each other, if there are any.
    pub fn build(nodes: BTreeMap<K, N>, after: impl IntoIterator<Item = (K, K)>) -> Result<Self, Vec<Cycle<K>>> {
        let graph = Self::without_edges(nodes);
        let edges = after.into_iter().filter_map(|(later, earlier)| Some((graph.find(&earlier)?, graph.find(&later)?)));
        let edges = edges.collect();
        graph.connected(edges)
    }

    /// As [`build`](Self::build), with `(later, earlier)` edges that name nodes by their number in the order of keys:
    /// in a large graph, looking up keys is most of the work.
    ///
    /// # Errors
    /// As for [`build`](Self::build).
    pub fn numbered(
        nodes: BTreeMap<K, N>,
        after: impl IntoIterator<Item = (usize, usize)>,
    ) -> Result<Self, Vec<Cycle<K>>> {
        let edges = after.into_iter().map(|(later, earlier)| (NodeIndex::new(earlier), NodeIndex::new(later)));
        Self::without_edges(nodes).connected(edges.collect())
    }

    fn without_edges(nodes: BTreeMap<K, N>) -> Self {
        let mut inner = DiGraph::with_capacity(nodes.len(), nodes.len() * 2);
        for node in nodes {
            inner.add_node(node);
        }
        Self { inner }
    }

    fn connected(mut self, mut edges: Vec<(NodeIndex, NodeIndex)>) -> Result<Self, Vec<Cycle<K>>> {
        edges.sort_unstable();
        edges.dedup();
        for (earlier, later) in edges {
            self.inner.add_edge(earlier, later, ());
        }
        let cycles = self.cycles();
        if cycles.is_empty() { Ok(self) } else { Err(cycles) }
    }

    fn cycles(&self) -> Vec<Cycle<K>> {
        // Cheap, and nearly always the whole answer.
        if toposort(&self.inner, None).is_ok() {
            return Vec::new();
        }
        let mut cycles: Vec<Cycle<K>> = tarjan_scc(&self.inner)
            .into_iter()
            .filter(|group| group.len() > 1 || self.inner.contains_edge(group[0], group[0]))
            .map(|group| self.walk_cycle(&group))
            .collect();
        cycles.sort_by(|a, b| a.0.cmp(&b.0));
        cycles
    }

    fn find(&self, key: &K) -> Option<NodeIndex> {
        self.inner.raw_nodes().binary_search_by(|node| node.weight.0.cmp(key)).ok().map(NodeIndex::new)
    }

    /// Names every member of a strongly connected group, starting at the smallest key and following
    /// what each waits for as far as that goes.
    fn walk_cycle(&self, group: &[NodeIndex]) -> Cycle<K> {
        let mut left: BTreeSet<K> = group.iter().map(|&i| self.inner[i].0.clone()).collect();
        let mut path = Vec::new();
        let mut next = left.first().cloned();
        while let Some(key) = next {
            left.remove(&key);
            next = self.needs(&key).filter(|k| left.contains(*k)).min().cloned();
            path.push(key);
            if next.is_none() {
                next = left.first().cloned();
            }
        }
        Cycle(path)
    }

    /// All nodes, by key.
    pub fn nodes(&self) -> impl Iterator<Item = (&K, &N)> {
        self.inner.raw_nodes().iter().map(|node| (&node.weight.0, &node.weight.1))
    }

    /// The node under `key`.
    #[must_use]
    pub fn get(&self, key: &K) -> Option<&N> {
        self.find(key).map(|i| &self.inner[i].1)
    }

    /// Keys that must end before `key` may start, in order.
    pub fn needs(&self, key: &K) -> impl Iterator<Item = &K> {
        self.neighbours(key, Direction::Incoming)
    }

    /// Keys that wait for `key`, in order.
    pub fn needed_by(&self, key: &K) -> impl Iterator<Item = &K> {
        self.neighbours(key, Direction::Outgoing)
    }

    fn neighbours(&self, key: &K, way: Direction) -> impl Iterator<Item = &K> {
        let mut keys: Vec<&K> = self
            .find(key)
            .into_iter()
            .flat_map(|i| self.inner.neighbors_directed(i, way).map(|n| &self.inner[n].0))
            .collect();
        keys.sort_unstable();
        keys.into_iter()
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.inner.node_count()
    }

    /// Whether there is no node.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.node_count() == 0
    }

    /// Keys so that each stands after all it needs; keys that may run at once stand together, by key.
    #[must_use]
    pub fn waves(&self) -> Vec<Vec<K>> {
        let mut depth = vec![0_usize; self.inner.node_count()];
        for i in toposort(&self.inner, None).expect("a built graph has no cycle") {
            for later in self.inner.neighbors_directed(i, Direction::Outgoing) {
                depth[later.index()] = depth[later.index()].max(depth[i.index()] + 1);
            }
        }
        let mut waves: Vec<Vec<K>> = Vec::new();
        for (node, d) in self.inner.raw_nodes().iter().zip(depth) {
            if waves.len() <= d {
                waves.resize_with(d + 1, Vec::new);
            }
            waves[d].push(node.weight.0.clone());
        }
        waves
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Edges<'a> = &'a [(&'static str, &'static str)];

    fn graph(edges: Edges<'_>) -> Result<Graph<&'static str, ()>, Vec<Cycle<&'static str>>> {
        let nodes = edges.iter().flat_map(|&(a, b)| [(a, ()), (b, ())]).collect();
        Graph::build(nodes, edges.iter().copied())
    }

    #[test]
    fn waves_respect_edges() {
        let g = graph(&[("engine", "instance"), ("engine", "cert"), ("cert", "instance")]).unwrap();
        assert_eq!(g.waves(), vec![vec!["instance"], vec!["cert"], vec!["engine"]]);
        assert_eq!(g.needs(&"engine").collect::<Vec<_>>(), [&"cert", &"instance"]);
        assert_eq!(g.needed_by(&"instance").collect::<Vec<_>>(), [&"cert", &"engine"]);
    }

    #[test]
    fn every_member_of_every_cycle_is_named() {
        let cycles = graph(&[("a", "c"), ("c", "b"), ("b", "a"), ("d", "a"), ("x", "x")]).unwrap_err();
        let paths: Vec<String> = cycles.iter().map(Cycle::path).collect();
        assert_eq!(paths, ["a → c → b → a", "x → x"]);
    }
}
