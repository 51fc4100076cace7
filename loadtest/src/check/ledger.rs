//! What is known of one stream: its posts, and what stands at each place of its order.
//!
//! All viewers of a stream write into one ledger, so that each needs only a range of seqs for itself, and any
//! two that were told different things at the same place are noticed.

use serde::{Deserialize, Serialize};

use crate::protocol::{mark::PostId, scan::digest};

/// Histories of one stream that are told apart; a server that makes up more is refused.
const MAX_EPOCHS: usize = 64;
/// Seqs of an epoch further apart than this are refused, so that garbage costs no memory.
const MAX_SPAN: u64 = 1 << 24;

/// What stands at a place of the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Content {
    /// A removal, a change of state, or a comment whose body is gone.
    Bare,
    /// A comment that is not of this run.
    Foreign,
    Post(PostId),
}

/// How a sighting fits to what is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fit {
    Agrees,
    Disagrees,
    /// The same post stands at another place as well.
    StoredTwice,
    /// The seq is too far from the others to be one.
    Absurd,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
struct Place {
    content: Option<Content>,
    digest: u32,
}

#[derive(Serialize, Deserialize)]
struct Epoch {
    name: Box<[u8]>,
    /// The seq of `places[0]`.
    base: u64,
    places: Vec<Place>,
}

#[derive(Clone, Copy, Default, Serialize, Deserialize)]
struct Post {
    offered: bool,
    seen: bool,
    /// When the ack came; 0 before.
    acked_us: u64,
    /// From the ack or the first sighting; 0 before.
    seq: u64,
    digest: u32,
}

/// One stream's ledger.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Ledger {
    /// How many comments and gifts may be met that another process posts.
    elsewhere: Option<(u32, u32)>,
    epochs: Vec<Epoch>,
    comments: Vec<Post>,
    gifts: Vec<Post>,
    highest_acked: u64,
    acked: u64,
}

impl Ledger {
    /// A ledger that may meet so many comments and gifts of another process.
    pub(crate) fn expecting(elsewhere: Option<(u32, u32)>) -> Self {
        Self { elsewhere, ..Self::default() }
    }

    /// Enters a post before it is sent.
    pub(crate) fn offer(&mut self, post: PostId) {
        let posts = if post.is_gift() { &mut self.gifts } else { &mut self.comments };
        if posts.len() <= post.number() {
            posts.resize(post.number() + 1, Post::default());
        }
        posts[post.number()].offered = true;
    }

    /// Whether somebody of this run made this post, as far as this process can know.
    pub(crate) fn is_ours(&self, post: PostId) -> bool {
        let beyond = |(comments, gifts)| if post.is_gift() { gifts } else { comments };
        self.is_offered(post)
            || self.elsewhere.map(beyond).is_some_and(|number: u32| post.number() < number as usize)
    }

    fn is_offered(&self, post: PostId) -> bool {
        let posts = if post.is_gift() { &self.gifts } else { &self.comments };
        posts.get(post.number()).is_some_and(|post| post.offered)
    }

    /// The greatest seq that was acked so far: what is posted now must come after it.
    pub(crate) fn highest_acked(&self) -> u64 {
        self.highest_acked
    }

    /// Posts that were acked.
    pub(crate) fn acked(&self) -> u64 {
        self.acked
    }

    /// How many histories of the stream were seen.
    pub(crate) fn epochs(&self) -> usize {
        self.epochs.len()
    }

    /// Enters an ack.
    pub(crate) fn ack(&mut self, id: PostId, seq: u64, server_id: &[u8], now_us: u64) -> Fit {
        let epochs = self.epochs.len();
        self.highest_acked = if epochs > 1 { seq } else { self.highest_acked.max(seq) };
        let Some(post) = self.post(id) else { return Fit::Agrees };
        let first = post.acked_us == 0;
        post.acked_us = now_us.max(1);
        let digest = digest(server_id);
        // An ack does not name its epoch: after a reset the same post may stand elsewhere.
        let agrees = post.seq == 0 || epochs > 1 || (post.seq == seq && post.digest == digest);
        (post.seq, post.digest) = (seq, digest);
        self.acked += u64::from(first);
        if agrees { Fit::Agrees } else { Fit::Disagrees }
    }

    fn post(&mut self, id: PostId) -> Option<&mut Post> {
        let posts = if id.is_gift() { &mut self.gifts } else { &mut self.comments };
        posts.get_mut(id.number())
    }

    /// Whether the epoch with this index has this name.
    pub(crate) fn is_epoch(&self, index: usize, name: &[u8]) -> bool {
        self.epochs.get(index).is_some_and(|epoch| *epoch.name == *name)
    }

    /// The index of the epoch with this name; `None` when there are absurdly many.
    pub(crate) fn epoch(&mut self, name: &[u8]) -> Option<usize> {
        if let Some(index) = self.epochs.iter().position(|epoch| *epoch.name == *name) {
            return Some(index);
        }
        if self.epochs.len() == MAX_EPOCHS {
            return None;
        }
        self.epochs.push(Epoch { name: name.into(), base: 0, places: Vec::new() });
        Some(self.epochs.len() - 1)
    }

    /// Enters what a viewer saw.
    pub(crate) fn see(&mut self, epoch: usize, seq: u64, content: Content, digest: u32) -> Fit {
        let epochs = self.epochs.len();
        let Some(place) = self.epochs.get_mut(epoch).and_then(|epoch| epoch.place(seq)) else {
            return Fit::Absurd;
        };
        let fresh = match (place.content, content) {
            (None | Some(Content::Bare), _) => true,
            (Some(_), Content::Bare) => return Fit::Agrees,
            (Some(known), seen) if known == seen && place.digest == digest => return Fit::Agrees,
            _ => false,
        };
        if !fresh {
            return Fit::Disagrees;
        }
        *place = Place { content: Some(content), digest };
        let Content::Post(id) = content else { return Fit::Agrees };
        let Some(post) = self.post(id) else { return Fit::Agrees };
        let seen = std::mem::replace(&mut post.seen, true);
        if post.seq == 0 {
            (post.seq, post.digest) = (seq, digest);
        }
        match (post.seq == seq, post.digest == digest) {
            (true, true) => Fit::Agrees,
            _ if epochs > 1 => Fit::Agrees,
            (false, _) if seen => Fit::StoredTwice,
            _ => Fit::Disagrees,
        }
    }

    /// Adds the posts of another process in the same stream.
    pub(crate) fn absorb_posts(&mut self, other: &Self) {
        for (posts, gift) in [(&other.comments, false), (&other.gifts, true)] {
            for (number, post) in (0..).zip(posts).filter(|(_, post)| post.offered) {
                let id = if gift { PostId::gift(number) } else { PostId::comment(number) };
                self.offer(id);
                if let (true, Some(mine)) = (post.acked_us > 0, self.post(id)) {
                    *mine = Post { seen: false, ..*post };
                    self.acked += 1;
                }
            }
        }
    }

    /// Adds what it has seen. What does not fit together is counted, unless the other one has counted it itself.
    pub(crate) fn absorb_sightings(&mut self, other: &Self) -> Misfits {
        let mut misfits = Misfits::default();
        for epoch in &other.epochs {
            let Some(index) = self.epoch(&epoch.name) else { continue };
            for (seq, place) in (epoch.base..).zip(&epoch.places) {
                let Some(content) = place.content else { continue };
                let counted = matches!(content, Content::Post(id) if other.is_offered(id));
                match self.see(index, seq, content, place.digest) {
                    Fit::Disagrees if !counted => misfits.disagreements += 1,
                    Fit::StoredTwice if !counted => misfits.stored_twice += 1,
                    _ => {}
                }
            }
        }
        misfits
    }

    /// Posts of this run that were seen and that nobody made.
    pub(crate) fn forged(&self) -> u64 {
        let contents = self.epochs.iter().flat_map(|epoch| &epoch.places).map(|place| place.content);
        contents.filter(|content| matches!(content, Some(Content::Post(id)) if !self.is_offered(*id))).count()
            as u64
    }

    /// Closes the ledger: from now on it only answers what each viewer should have seen.
    pub(crate) fn close(&self) -> Closed {
        let mut unseen: Vec<Unseen> = Vec::new();
        let posts = self.comments.iter().chain(&self.gifts);
        for post in posts.filter(|post| post.acked_us > 0 && !post.seen) {
            unseen.push(Unseen { seq: post.seq, acked_us: post.acked_us });
        }
        let epochs = self.epochs.iter().map(|epoch| {
            let known = |place: &Place| place.content.is_some();
            let seqs =
                (epoch.base..).zip(&epoch.places).filter(|(_, place)| known(place)).map(|(seq, _)| seq);
            let gift = |place: &Place| matches!(place.content, Some(Content::Post(post)) if post.is_gift());
            let gifts =
                (epoch.base..).zip(&epoch.places).filter(|(_, place)| gift(place)).map(|(seq, _)| seq);
            KnownSeqs { name: epoch.name.clone(), all: seqs.collect(), gifts: gifts.collect() }
        });
        Closed { epochs: epochs.collect(), unseen }
    }
}

/// What two processes were told differently.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Misfits {
    pub(crate) disagreements: u64,
    pub(crate) stored_twice: u64,
}

impl Epoch {
    fn place(&mut self, seq: u64) -> Option<&mut Place> {
        const UNKNOWN: Place = Place { content: None, digest: 0 };
        if self.places.is_empty() {
            self.base = seq;
        }
        if seq < self.base {
            // Somebody saw an earlier part of the history than the first one did.
            let missing = usize::try_from(self.base - seq).ok().filter(|_| self.base - seq < MAX_SPAN)?;
            self.places.splice(..0, std::iter::repeat_n(UNKNOWN, missing));
            self.base = seq;
        }
        let index = usize::try_from(seq - self.base).ok().filter(|_| seq - self.base < MAX_SPAN)?;
        if index >= self.places.len() {
            self.places.resize(index + 1, UNKNOWN);
        }
        self.places.get_mut(index)
    }
}

/// An acked post that no viewer saw.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Unseen {
    seq: u64,
    acked_us: u64,
}

/// Ascending seqs of an epoch where somebody saw an entry.
#[derive(Clone, Default, Serialize, Deserialize)]
struct KnownSeqs {
    /// The names of the epochs are the same in every process, their places in the list are not.
    name: Box<[u8]>,
    all: Vec<u64>,
    gifts: Vec<u64>,
}

/// A closed ledger.
#[derive(Clone, Default, Serialize, Deserialize)]
pub(crate) struct Closed {
    epochs: Vec<KnownSeqs>,
    unseen: Vec<Unseen>,
}

impl Closed {
    /// The same with its epochs in the order in which this ledger, a part of the whole, knows them.
    pub(crate) fn in_order_of(&self, ledger: &Ledger) -> Self {
        let find = |name: &[u8]| self.epochs.iter().find(|known| *known.name == *name).cloned();
        let mine = ledger.epochs.iter().filter_map(|epoch| find(&epoch.name));
        let others =
            self.epochs.iter().filter(|known| !ledger.epochs.iter().any(|mine| mine.name == known.name));
        Self { epochs: mine.chain(others.cloned()).collect(), unseen: self.unseen.clone() }
    }

    /// Entries with seqs in `from..to` that some viewer saw.
    pub(crate) fn known(&self, epoch: Option<usize>, from: u64, to: u64) -> u64 {
        count(epoch.and_then(|epoch| self.epochs.get(epoch)).map_or(&[], |known| &known.all), from, to)
    }

    /// Gifts with seqs in `from..to` that some viewer saw.
    pub(crate) fn gifts(&self, epoch: Option<usize>, from: u64, to: u64) -> u64 {
        count(epoch.and_then(|epoch| self.epochs.get(epoch)).map_or(&[], |known| &known.gifts), from, to)
    }

    /// Acked posts outside `from..to` that no viewer saw, acked after this time. Inside of that range such a
    /// post leaves a hole, which is counted as one.
    pub(crate) fn unseen(&self, from: u64, to: u64, since_us: u64) -> u64 {
        let missed = |post: &&Unseen| post.acked_us >= since_us && !(from..to).contains(&post.seq);
        self.unseen.iter().filter(missed).count() as u64
    }

    /// Acked posts that no viewer saw.
    pub(crate) fn unseen_in_all(&self) -> u64 {
        self.unseen.len() as u64
    }

    /// The epoch that a viewer is in that saw no entry at all: the first one.
    pub(crate) fn first_epoch(&self) -> Option<usize> {
        (!self.epochs.is_empty()).then_some(0)
    }
}

fn count(seqs: &[u64], from: u64, to: u64) -> u64 {
    let below = |bound: u64| seqs.partition_point(|seq| *seq < bound);
    below(to).saturating_sub(below(from)) as u64
}
