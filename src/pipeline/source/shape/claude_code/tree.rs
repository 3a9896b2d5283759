//! The forest of a session: whose child a line is, which prompt it answers, and what its branches are.
//!
//! Rests on `parentUuid`, and where that fails on the order of the lines. Invariants: no node is its own ancestor, whatever
//! the links say; every answer of the model is in at least one branch; the lines of parallel tool calls, which fork
//! without anybody having gone back, are one branch.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

use crate::pipeline::source::adapter::OUTPUTS_MAX;

use super::Node;
use super::Notes;
use super::Refusal;
use super::Role;

/// Lines that all branches of a session may name together; more would be a file made to exhaust memory.
const BRANCH_LINES_MAX: usize = 1_000_000;

/// The nodes as a forest; all lists are by index of node.
pub(super) struct Forest {
    pub(super) parent: Vec<Option<usize>>,
    pub(super) children: Vec<Vec<usize>>,
    /// The node that a turn begins with: a prompt, or the root where the chain has none.
    pub(super) head: Vec<usize>,
    /// The compaction whose summary stands for what came before, nearest above or here.
    pub(super) compaction: Vec<Option<usize>>,
    /// Whether a prompt stands above the node's own head.
    pub(super) follows: Vec<bool>,
    /// Whether the node's parent is named and not in the file, or was cut off to break a cycle.
    pub(super) orphan: Vec<bool>,
    /// Whether the last line of its tree lies at or below the node.
    pub(super) live: Vec<bool>,
}

/// One answer: its nodes in order of lines, and where it stands among the answers to its prompt.
pub(super) struct Branch {
    pub(super) head: usize,
    /// Nodes in order, the head first unless a line stands before its parent.
    pub(super) nodes: Vec<usize>,
    /// Place among the branches of the head, by the line in which they part.
    pub(super) number: u64,
    pub(super) abandoned: bool,
    /// The line in which it parts from the branches before it.
    start: u64,
}

impl Forest {
    pub(super) fn of(nodes: &[Node<'_>], notes: &mut Notes) -> Self {
        let count = nodes.len();
        let (mut parent, mut orphan) = parents(nodes, notes);
        cut_cycles(&mut parent, &mut orphan, notes);
        let mut children = vec![Vec::new(); count];
        let mut order: Vec<usize> = Vec::with_capacity(count);
        for (at, above) in parent.iter().enumerate() {
            match above {
                Some(above) => children[*above].push(at),
                None => order.push(at),
            }
        }
        let mut forest = Self {
            parent,
            children,
            head: (0..count).collect(),
            compaction: vec![None; count],
            follows: vec![false; count],
            orphan,
            live: vec![false; count],
        };
        // Parents before children.
        let mut next = 0;
        let mut root = vec![0; count];
        while let Some(at) = order.get(next).copied() {
            next += 1;
            let above = forest.parent[at];
            root[at] = above.map_or(at, |above| root[above]);
            let inherited = above.and_then(|above| forest.compaction[above]);
            forest.compaction[at] = if nodes[at].role == Role::Compaction { Some(at) } else { inherited };
            if let Some(above) = above {
                let prompted = nodes[forest.head[above]].role == Role::Prompt;
                if nodes[at].role == Role::Prompt {
                    forest.follows[at] = prompted || forest.follows[above];
                } else {
                    (forest.head[at], forest.follows[at]) = (forest.head[above], forest.follows[above]);
                }
            }
            order.extend_from_slice(&forest.children[at]);
        }
        let mut last: HashMap<usize, usize> = HashMap::new();
        for (at, node) in nodes.iter().enumerate().filter(|(_, node)| node.role != Role::Link) {
            let end = last.entry(root[at]).or_insert(at);
            if nodes[*end].line <= node.line {
                *end = at;
            }
        }
        for end in last.into_values() {
            let mut at = Some(end);
            while let Some(here) = at {
                forest.live[here] = true;
                at = forest.parent[here];
            }
        }
        forest
    }

    /// The nodes from the head of `end`'s turn to `end`.
    fn path(&self, end: usize) -> Vec<usize> {
        let mut path = vec![end];
        let mut at = end;
        while at != self.head[end] {
            let Some(above) = self.parent[at] else { break };
            path.push(above);
            at = above;
        }
        path.reverse();
        path
    }
}

/// Each node's parent as the file says it; and where it says none, what a line that cannot begin anything continues.
fn parents(nodes: &[Node<'_>], notes: &mut Notes) -> (Vec<Option<usize>>, Vec<bool>) {
    let by_uuid: HashMap<&str, usize> =
        nodes.iter().enumerate().filter_map(|(at, node)| Some((node.text("uuid")?, at))).collect();
    let mut parent = vec![None; nodes.len()];
    let mut orphan = vec![false; nodes.len()];
    // The last line of each conversation so far: a session and its subagents write into one file.
    let mut before: HashMap<(bool, Option<&str>), usize> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        let named = node.text("parentUuid").or_else(|| node.text("logicalParentUuid"));
        let place = (node.flag("isSidechain"), node.text("agentId"));
        match named.map(|uuid| by_uuid.get(uuid).copied()) {
            Some(Some(above)) => parent[at] = Some(above),
            Some(None) => {
                notes.add("line whose parent is not in the file");
                orphan[at] = true;
            }
            None if matches!(node.role, Role::Assistant | Role::Results) => {
                notes.add("line without a parent, taken to continue the one before");
                parent[at] = before.get(&place).copied();
                orphan[at] = parent[at].is_none();
            }
            None => {}
        }
        before.insert(place, at);
    }
    (parent, orphan)
}

/// Cuts the link of the first line of every cycle.
fn cut_cycles(parent: &mut [Option<usize>], orphan: &mut [bool], notes: &mut Notes) {
    // 0: not seen; n: seen on the walk that began at node n - 1.
    let mut seen = vec![0; parent.len()];
    for start in 0..parent.len() {
        let mut at = Some(start);
        while let Some(here) = at
            && seen[here] == 0
        {
            seen[here] = start + 1;
            at = parent[here];
        }
        if let Some(met) = at
            && seen[met] == start + 1
        {
            let mut first = met;
            let mut here = parent[met];
            while let Some(next) = here
                && next != met
            {
                first = first.min(next);
                here = parent[next];
            }
            parent[first] = None;
            orphan[first] = true;
            notes.add("cycle of parents, cut");
        }
    }
}

/// The answers of a session, in the order of the lines in which they part from earlier ones.
pub(super) fn branches(
    nodes: &[Node<'_>],
    forest: &Forest,
    notes: &mut Notes,
) -> Result<Vec<Branch>, Refusal> {
    let mut turns: Vec<Vec<usize>> = vec![Vec::new(); nodes.len()];
    for (at, head) in forest.head.iter().enumerate() {
        turns[*head].push(at);
    }
    let mut all = Vec::new();
    let mut lines = 0;
    for (head, turn) in turns.iter().enumerate().filter(|(_, turn)| !turn.is_empty()) {
        let found = of_turn(nodes, forest, head, turn);
        if found.is_empty() && nodes[head].role == Role::Prompt {
            notes.add("prompt without an answer");
        }
        lines += found.iter().map(|branch| branch.nodes.len()).sum::<usize>();
        all.extend(found);
        if all.len() > OUTPUTS_MAX || lines > BRANCH_LINES_MAX {
            return Err(("too_many_outputs", format!("more than {OUTPUTS_MAX} branches in one session")));
        }
    }
    all.sort_by_key(|branch| branch.start);
    Ok(all)
}

/// The answers to one prompt. `turn` has the nodes that belong to it.
fn of_turn(nodes: &[Node<'_>], forest: &Forest, head: usize, turn: &[usize]) -> Vec<Branch> {
    let own = |at: usize| forest.head[at] == head && at != head;
    let answered = |at: usize| nodes[at].role == Role::Assistant;
    // A branch ends where nothing of this turn follows, or where the live conversation leaves the turn.
    let leaves_live = |at: usize| {
        forest.live[at] && forest.children[at].iter().any(|child| forest.live[*child] && !own(*child))
    };
    let mut ends: Vec<usize> = turn
        .iter()
        .copied()
        .filter(|at| !forest.children[*at].iter().any(|child| own(*child)) || leaves_live(*at))
        .collect();
    // What a branch was about: a reminder or a hook's line may hang below it.
    let spoken = |end: usize| {
        let mut at = end;
        while at != head && !matches!(nodes[at].role, Role::Assistant | Role::Results) {
            let Some(above) = forest.parent[at] else { break };
            at = above;
        }
        at
    };
    // The live branch first: it decides what of the others is a part of it.
    ends.sort_by_key(|at| (!forest.live[*at], !forest.live[spoken(*at)], Reverse(spoken(*at)), *at));
    let mut taken: HashSet<usize> = HashSet::new();
    // Nodes above which every answer is taken; so no line is walked over twice in vain.
    let mut told: HashSet<usize> = HashSet::new();
    let mut found: Vec<(Vec<usize>, BTreeSet<usize>, bool)> = Vec::new();
    for end in ends {
        if found.len() > OUTPUTS_MAX {
            break;
        }
        let (mut at, mut walked, mut is_news) = (Some(end), Vec::new(), false);
        while let Some(here) = at.filter(|here| !told.contains(here)) {
            is_news = answered(here) && !taken.contains(&here);
            if is_news {
                break;
            }
            walked.push(here);
            at = forest.parent[here].filter(|_| here != head);
        }
        if !is_news {
            told.extend(walked);
            continue;
        }
        let path = forest.path(end);
        let whole = closure(nodes, forest, &path, turn);
        taken.extend(&whole);
        found.push((path, whole, forest.live[spoken(end)]));
    }
    found.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    let mut branches: Vec<Branch> = Vec::with_capacity(found.len());
    let mut last: &[usize] = &[];
    for (number, (path, whole, live)) in (0..).zip(&found) {
        let shared = path.iter().zip(last).take_while(|(a, b)| a == b).count();
        let first = path.get(shared).or(path.last()).map_or(0, |at| nodes[*at].line);
        let abandoned = !live;
        branches.push(Branch {
            head,
            nodes: whole.iter().copied().collect(),
            number,
            abandoned,
            start: first,
        });
        last = path;
    }
    branches
}

/// A path with the other lines of its responses, and the results of their calls that it has not: parallel calls lie
/// beside each other in the tree.
fn closure(nodes: &[Node<'_>], forest: &Forest, path: &[usize], turn: &[usize]) -> BTreeSet<usize> {
    let mut whole: BTreeSet<usize> = path.iter().copied().collect();
    let responses: HashSet<&str> = path
        .iter()
        .filter(|at| nodes[**at].role == Role::Assistant)
        .filter_map(|at| nodes[*at].response())
        .collect();
    let beside = |at: &&usize| {
        nodes[**at].role == Role::Assistant
            && nodes[**at].response().is_some_and(|response| responses.contains(response))
    };
    whole.extend(turn.iter().filter(beside));
    let ids = |block: &'static str, key: &'static str| -> HashSet<&str> {
        whole.iter().flat_map(|at| nodes[*at].ids(block, key)).collect()
    };
    let (called, mut answered) = (ids("tool_use", "id"), ids("tool_result", "tool_use_id"));
    let mut more = Vec::new();
    let hangs = |at: &&usize| {
        nodes[**at].role == Role::Results
            && !whole.contains(*at)
            && forest.parent[**at].is_some_and(|above| whole.contains(&above))
    };
    for at in turn.iter().filter(hangs) {
        let mut results = nodes[*at].ids("tool_result", "tool_use_id").peekable();
        if results.peek().is_some() && results.all(|id| called.contains(id) && !answered.contains(id)) {
            answered.extend(nodes[*at].ids("tool_result", "tool_use_id"));
            more.push(*at);
        }
    }
    whole.extend(more);
    whole
}
