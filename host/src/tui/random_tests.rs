//! Whatever happens, in whatever order: it is drawn, and no more is kept than is to be.

use std::sync::Arc;

use proptest::prelude::*;
use wirehaul_core::time::Duration;

use super::model::{Key, MAX_LIVE, MAX_OVER, MAX_PROVIDERS, Model};
use super::paint::Paint;
use super::tests::{ASCII, at, buffer_of, detection, note_of, placement, survey, tell, transfer, worker};
use crate::events::{
    Event, Heard, KernelCounters, Level, SessionFigures, SessionState, Stage, SurveyDrops, SurveyState, Totals,
    TransferEnd, TransferState, WorkerState,
};

fn any_event() -> impl Strategy<Value = Event> {
    let moment = || 0..200_000_u64;
    let level = prop_oneof![Just(Level::Info), Just(Level::Warning), Just(Level::Error)];
    let state = prop_oneof![
        Just(SessionState::Connected),
        Just(SessionState::Moved),
        Just(SessionState::GoingAway),
        any::<String>().prop_map(|words| SessionState::Closed(words.into())),
    ];
    let stage = prop_oneof![
        Just(Stage::Waiting),
        Just(Stage::Listing),
        Just(Stage::Comparing),
        Just(Stage::Moving),
        Just(Stage::Over)
    ];
    let strange = (0..9_u64, moment(), stage, any::<[u64; 4]>(), any::<Option<String>>()).prop_map(
        |(number, millis, stage, [total, done, cwnd, ppm], peer)| {
            let figures = SessionFigures {
                srtt: Duration::from_nanos(cwnd),
                cwnd_bytes: cwnd,
                inflight_bytes: done,
                resent_ppm: ppm,
                pacing_error_ppm: Some(ppm),
                sent_packets: total,
                ..SessionFigures::default()
            };
            let state = transfer(number, millis);
            TransferState { stage, total_bytes: total, done_bytes: done, peer: peer.map(Into::into), figures, ..state }
        },
    );
    let survey_of = |(millis, [sent, packets, steps, done_steps, drops]): (u64, [u64; 5])| {
        let Event::Survey(state) = survey(millis) else { unreachable!() };
        let drops = SurveyDrops { xdp: drops, packet: drops, ..SurveyDrops::default() };
        Event::Survey(SurveyState {
            sent,
            packets,
            received: sent,
            hits: packets,
            steps,
            done_steps,
            drops,
            left: None,
            ..state
        })
    };
    let worker_of = |(number, millis, [packets, bytes, drops]): (u8, u64, [u64; 3])| {
        let Event::Worker(state) = worker(number, millis) else { unreachable!() };
        let totals = Totals { sent_packets: packets, received_bytes: bytes, transfers_done: drops, ..state.totals };
        let kernel = KernelCounters { xdp_rx_ring_full: drops, socket_overflows: drops, ..KernelCounters::default() };
        Event::Worker(WorkerState { totals, kernel, ..state })
    };
    prop_oneof![
        strange.clone().prop_map(Event::Transfer),
        (strange.clone(), state).prop_map(|(transfer, state)| Event::Session { transfer, state }),
        (strange, any::<Option<String>>(), any::<[u64; 3]>()).prop_map(
            |(state, failure, [files, stored_bytes, took])| {
                let exit_code = u8::from(failure.is_some());
                let (failure, took) = (failure.map(Into::into), Duration::from_nanos(took));
                Event::Finished(Arc::new(TransferEnd {
                    state,
                    took,
                    files,
                    stored_bytes,
                    resumed_bytes: files,
                    verified: true,
                    failure,
                    exit_code,
                }))
            }
        ),
        (any::<u8>(), moment(), any::<[u64; 3]>()).prop_map(worker_of),
        (moment(), any::<[u64; 5]>()).prop_map(survey_of),
        (0..70_u32).prop_map(placement),
        (any::<u64>(), moment()).prop_map(|(number, millis)| detection(number, millis)),
        (level, any::<String>()).prop_map(|(level, text)| note_of(level, &text)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_is_drawn_and_stays_bounded(
        events in prop::collection::vec(any_event(), 1..80),
        keys in prop::collection::vec(prop::sample::select(vec![
            Key::Char('1'), Key::Char('2'), Key::Char('4'), Key::Char('5'), Key::Char('6'), Key::Char('q'), Key::Char('?'), Key::Down, Key::Up,
            Key::End, Key::PageDown, Key::Home, Key::Tab, Key::Escape,
        ]), 80),
        size in (0..200_u16, 0..70_u16),
        is_unicode in any::<bool>(),
    ) {
        let mut model = Model::new("recv", at(0));
        for (number, (event, key)) in events.into_iter().zip(keys).enumerate() {
            model.tick(at(number as u64 * 700));
            tell(&mut model, event);
            model.hear(Heard::Missed(u64::MAX / 2));
            model.press(key);
            if number % 8 == 0 {
                buffer_of(&model, size.0, size.1, Paint { has_colour: true, is_unicode });
            }
        }
        for view in "123456".chars() {
            model.press(Key::Escape);
            model.press(Key::Char(view));
            buffer_of(&model, size.0, size.1, Paint { has_colour: true, is_unicode });
            buffer_of(&model, 80, 24, ASCII);
        }
        prop_assert!(model.transfers().len() <= MAX_LIVE + MAX_OVER && model.cdn().provider_count() <= MAX_PROVIDERS);
    }
}
