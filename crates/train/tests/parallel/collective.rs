//! Ranks that are threads: what arrives, and what happens when one of them does not.

use batchwise_train::parallel::{Collective, CollectiveError, Threads};
use std::time::Duration;

/// What each rank returns; `None` for one that panics.
fn on_ranks<R: Send>(ranks: Vec<Threads>, work: impl Fn(Threads) -> R + Sync) -> Vec<Option<R>> {
    std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = ranks.into_iter().map(|rank| scope.spawn(move || work(rank))).collect();
        threads.into_iter().map(|thread| thread.join().ok()).collect()
    })
}

#[test]
fn everything_arrives_where_it_should_again_and_again() {
    for world in [1, 2, 3, 8] {
        let outcomes = on_ranks(Threads::world(world).unwrap(), |mut me| {
            let rank = me.rank();
            for round in 0..200 {
                let len = round % 5;
                let value = |from: usize, to: usize| (round * 100 + from * 10 + to) as f32;
                let send: Vec<f32> = (0..world * len).map(|i| value(rank, i / len)).collect();
                let mut receive = vec![-1.0; world * len];
                me.all_to_all(&send, &mut receive).unwrap();
                let want: Vec<f32> = (0..world * len).map(|i| value(i / len, rank)).collect();
                assert_eq!(receive, want);

                me.all_gather(&vec![value(rank, 0); len], &mut receive).unwrap();
                let want: Vec<f32> = (0..world * len).map(|i| value(i / len, 0)).collect();
                assert_eq!(receive, want);

                let mut bytes = vec![0; world];
                me.all_gather_bytes(&[rank as u8], &mut bytes).unwrap();
                assert_eq!(bytes, (0..world as u8).collect::<Vec<_>>());

                let root = round % world;
                let mut buffer = vec![value(rank, 9); len];
                me.broadcast(root, &mut buffer).unwrap();
                assert_eq!(buffer, vec![value(root, 9); len]);
            }
        });
        assert!(outcomes.iter().all(Option::is_some), "{world} ranks");
    }
}

#[test]
fn an_abort_reaches_those_who_wait_and_those_who_come_later() {
    let outcomes = on_ranks(Threads::world(3).unwrap(), |mut me| match me.rank() {
        0 => {
            me.abort("the disk is full");
            None
        }
        _ => Some((me.broadcast(0, &mut [0.0]), me.broadcast(0, &mut [0.0]))),
    });
    let want = Err(CollectiveError::Aborted { rank: 0, reason: "the disk is full".to_owned() });
    for outcome in outcomes.into_iter().flatten().flatten() {
        assert_eq!(outcome, (want.clone(), want.clone()));
    }
}

#[test]
fn a_rank_that_panics_or_leaves_ends_the_others() {
    for panics in [true, false] {
        let outcomes = on_ranks(Threads::world(3).unwrap(), |mut me| {
            if me.rank() == 1 {
                assert!(!panics, "a test's panic");
                return Ok(());
            }
            me.broadcast(0, &mut [0.0])
        });
        let want = Err(CollectiveError::Left { rank: 1, panicked: panics });
        assert_eq!(outcomes[0], Some(want.clone()));
        assert_eq!(outcomes[2], Some(want));
        assert_eq!(outcomes[1].is_none(), panics);
    }
}

#[test]
fn a_rank_that_is_stuck_is_not_waited_for_without_end() {
    let limit = Duration::from_millis(50);
    let (let_go, wait) = std::sync::mpsc::channel::<()>();
    let (let_go, wait) = (std::sync::Mutex::new(Some(let_go)), std::sync::Mutex::new(wait));
    let outcomes = on_ranks(Threads::with_limit(3, limit).unwrap(), |mut me| {
        if me.rank() == 1 {
            // Until rank 0 is done.
            assert!(wait.lock().unwrap().recv().is_err());
            return None;
        }
        let outcome = me.broadcast(0, &mut [0.0]);
        if me.rank() == 0 {
            let_go.lock().unwrap().take();
        }
        outcome.err()
    });
    for outcome in [&outcomes[0], &outcomes[2]] {
        assert!(matches!(outcome, Some(Some(CollectiveError::TimedOut { .. }))), "{outcome:?}");
    }
}

#[test]
fn different_calls_are_told_apart() {
    let outcomes = on_ranks(Threads::world(2).unwrap(), |mut me| {
        let len = 1 + me.rank();
        me.all_gather(&vec![0.0; len], &mut vec![0.0; 2 * len])
    });
    for outcome in outcomes.into_iter().flatten() {
        let error = outcome.unwrap_err();
        assert!(matches!(error, CollectiveError::Mismatch { .. } | CollectiveError::Left { .. }), "{error}");
    }
}

#[test]
fn lengths_and_ranks_that_do_not_fit_are_refused() {
    assert!(Threads::world(0).is_err());
    let mut me = Threads::world(1).unwrap().remove(0);
    assert!(me.all_gather(&[0.0], &mut [0.0; 2]).is_err());
    assert!(me.all_to_all(&[0.0], &mut [0.0; 2]).is_err());
    assert!(me.all_gather_bytes(&[0], &mut []).is_err());
    assert!(me.broadcast(1, &mut [0.0]).is_err());
    let mut two = Threads::world(2).unwrap();
    assert!(two[0].all_to_all(&[0.0; 3], &mut [0.0; 3]).is_err());
    // None of these ended anything.
    assert!(me.all_gather(&[3.0], &mut [0.0]).is_ok());
}
