//! Every record is applied once while members come and go.

use super::*;

/// What the checkpoints would know, and what every member saw, in a storm of rebalances.
#[derive(Default)]
struct Chain {
    /// By partition: who may write, and the next offset.
    shards: HashMap<TopicPartition, (Option<Owner>, i64)>,
    applied: i64,
    lives: usize,
    cut: usize,
}

type Owner = (usize, Generation);

/// One member of the storm: answers claims late, follows every life, applies what its claims allow.
struct StormMember {
    number: usize,
    member: Member,
    chain: Arc<Mutex<Chain>>,
    rng: u64,
    claims: Vec<(Instant, TopicPartition, Generation)>,
    lives: HashMap<TopicPartition, Life>,
}

/// A life of an assignment as its reader sees it.
struct Life {
    generation: Generation,
    assigned: i64,
    next: i64,
}

impl StormMember {
    fn join(
        number: usize,
        broker: &Broker,
        chain: &Arc<Mutex<Chain>>,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            number,
            member: Member::join(broker, &ByteBudget::new(100_000))?,
            chain: Arc::clone(chain),
            rng: 0x9E37_79B9_7F4A_7C15 ^ number as u64,
            claims: Vec::new(),
            lives: HashMap::new(),
        })
    }

    /// From 0 to 0.7 s: a claim's latency, by xorshift, so that a failure can be run again.
    fn latency(&mut self) -> Duration {
        self.rng ^= self.rng << 13;
        self.rng ^= self.rng >> 7;
        self.rng ^= self.rng << 17;
        Duration::from_millis(self.rng % 700)
    }

    /// Handles what comes until `deadline`, or for ever.
    async fn step(&mut self) -> Outcome {
        let claim = self.claims.iter().map(|(at, ..)| *at).min();
        let claim = claim.unwrap_or_else(|| Instant::now() + PATIENCE);
        tokio::select! {
            Some(event) = self.member.events.recv() => self.on_event(event),
            Some(batch) = self.member.batches.recv() => self.on_batch(&batch),
            () = tokio::time::sleep_until(claim) => { self.answer_claims(); Ok(()) }
        }?;
        while let Ok(event) = self.member.events.try_recv() {
            self.on_event(event)?;
        }
        while let Ok(batch) = self.member.batches.try_recv() {
            self.on_batch(&batch)?;
        }
        Ok(())
    }

    fn on_event(&mut self, event: SourceEvent) -> Outcome {
        match event {
            SourceEvent::Granted { tp, generation } => {
                let at = Instant::now() + self.latency();
                self.claims.push((at, tp, generation));
            }
            SourceEvent::Revoked { tp, generation } => {
                if let Some(life) = self.lives.remove(&tp) {
                    assert_eq!(life.generation, generation);
                    let mut chain = self.chain.lock().map_err(|_| "poisoned")?;
                    chain.cut += usize::from(life.next > life.assigned);
                }
            }
            SourceEvent::Rebalanced | SourceEvent::Brokers(_) | SourceEvent::Trouble { .. } => {}
            other => return Err(format!("unexpected: {other:?}").into()),
        }
        Ok(())
    }

    /// Claims, even if the partition has gone meanwhile: the source must drop such an answer.
    fn answer_claims(&mut self) {
        let now = Instant::now();
        let (due, later) = self.claims.drain(..).partition(|(at, ..)| *at <= now);
        self.claims = later;
        let due: Vec<(Instant, TopicPartition, Generation)> = due;
        for (_, tp, generation) in due {
            let mut chain = self.chain.lock().expect("no test thread panics holding it");
            chain.lives += 1;
            let shard = chain.shards.entry(tp.clone()).or_default();
            shard.0 = Some((self.number, generation));
            let (assigned, next) = (shard.1, shard.1);
            self.member.assign(&tp, generation, assigned);
            let life = Life { generation, assigned, next };
            self.lives.insert(tp, life);
        }
    }

    fn on_batch(&mut self, batch: &Batch) -> Outcome {
        let Some(life) = self.lives.get_mut(&batch.tp) else {
            return Ok(());
        };
        if life.generation != batch.generation {
            return Ok(());
        }
        let after = follow(life.next, batch)?;
        assert_eq!(batch.delivered_total, (after - life.assigned).cast_unsigned());
        let mut chain = self.chain.lock().map_err(|_| "poisoned")?;
        let owner = Some((self.number, life.generation));
        let shard = chain.shards.entry(batch.tp.clone()).or_default();
        if shard.0 == owner {
            assert_eq!(shard.1, life.next);
            shard.1 = after;
            chain.applied += after - life.next;
        }
        life.next = after;
        Ok(())
    }
}

/// Records that keep coming while members come and go.
struct Traffic<'a> {
    broker: &'a Broker,
    produced: i64,
    ticks: tokio::time::Interval,
}

impl Traffic<'_> {
    const PARTITIONS: i32 = 8;

    fn produce_until(&mut self, next: i64) -> Outcome {
        for partition in 0..Self::PARTITIONS {
            self.broker.send(partition, self.produced, next)?;
        }
        self.broker.producer.poll(Duration::ZERO);
        self.produced = next;
        Ok(())
    }

    /// A record a partition every forty milliseconds, until there are `limit` of each: slow enough
    /// to last a turn.
    async fn flow(&mut self, limit: i64) -> Outcome {
        if self.produced >= limit {
            return std::future::pending().await;
        }
        self.ticks.tick().await;
        self.produce_until((self.produced + 1).min(limit))
    }
}

/// Lets the members and the traffic go on until `done`.
async fn go_on(
    members: &mut [&mut StormMember],
    traffic: &mut Traffic<'_>,
    limit: i64,
    mut done: impl FnMut(&[&mut StormMember]) -> bool,
) -> Outcome {
    let deadline = Instant::now() + PATIENCE;
    while !done(members) {
        let steps = members.iter_mut().map(|member| Box::pin(member.step()));
        let mut steps: Vec<_> = steps.collect();
        let any = std::future::poll_fn(|context| {
            let ready = steps.iter_mut().find_map(|step| {
                match std::future::Future::poll(step.as_mut(), context) {
                    std::task::Poll::Ready(outcome) => Some(outcome),
                    std::task::Poll::Pending => None,
                }
            });
            ready.map_or(std::task::Poll::Pending, std::task::Poll::Ready)
        });
        tokio::select! {
            outcome = any => outcome?,
            outcome = traffic.flow(limit) => outcome?,
            () = tokio::time::sleep_until(deadline) => return Err("the group stands still".into()),
        }
    }
    Ok(())
}

#[tokio::test]
async fn every_record_is_applied_once_while_members_come_and_go() -> Outcome {
    const EACH: i64 = 2_500;
    const TURNS: usize = 4;
    let broker = Broker::new(Traffic::PARTITIONS)?;
    let mut traffic = Traffic {
        broker: &broker,
        produced: 0,
        ticks: tokio::time::interval(Duration::from_millis(40)),
    };
    let chain = Arc::new(Mutex::new(Chain::default()));
    let applied = || chain.lock().map(|chain| chain.applied).unwrap_or_default();
    let mut first = StormMember::join(0, &broker, &chain)?;
    for turn in 1..=TURNS {
        let limit = EACH * i64::try_from(turn)? / 4;
        let all = 8;
        go_on(&mut [&mut first], &mut traffic, limit, |members| members[0].lives.len() == all)
            .await?;
        let mut other = StormMember::join(turn, &broker, &chain)?;
        // Odd turns: the other leaves while its claims are under way; even ones: once it has read.
        let members = &mut [&mut first, &mut other];
        go_on(members, &mut traffic, limit, |members| {
            let mut lives = members[1].lives.values();
            !members[1].claims.is_empty() && turn % 2 == 1
                || lives.any(|life| life.next > life.assigned)
        })
        .await?;
        let leaving = tokio::task::spawn_blocking(|| other.member.source.close(PATIENCE));
        let members = &mut [&mut first];
        go_on(members, &mut traffic, limit, |_| leaving.is_finished()).await?;
        leaving.await??;
        traffic.produce_until(limit)?;
    }
    let all = i64::from(Traffic::PARTITIONS) * EACH;
    go_on(&mut [&mut first], &mut traffic, EACH, |_| applied() == all).await?;
    first.member.source.close(PATIENCE)?;
    let chain = chain.lock().map_err(|_| "poisoned")?;
    assert!(chain.shards.values().all(|(_, next)| *next == EACH));
    assert!(chain.cut > 0, "no life ended while it was read");
    eprintln!("{} lives, {} of them cut while reading", chain.lives, chain.cut);
    Ok(())
}
