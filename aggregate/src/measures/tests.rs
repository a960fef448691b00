//! A row of numbers is the same cell.

use super::*;

fn numbered() -> [i128; MEASURES] {
    let mut next = 0;
    [(); MEASURES].map(|()| {
        next += 1;
        next
    })
}

/// Files and checkpoints hold rows, so each number must come back in its own place.
#[test]
fn a_row_has_the_measures_in_the_order_of_their_declaration() {
    let cell = Measures {
        volume: 1,
        revenue: Fen::new(2),
        weight: Grams::new(3),
        scans: 4,
        due: 5,
        delivered: 6,
        on_time: 7,
        failed_attempts: 8,
        returned: 9,
        voided: 10,
        balance: Fen::new(11),
        turnover: Fen::new(12),
        accounts_opened: 13,
        reversals: 14,
        agri_volume: 15,
        agri_revenue: Fen::new(16),
        events: 17,
        late_events: 18,
        restated_events: 19,
    };
    assert_eq!(cell.to_array(), numbered());
    assert_eq!(Measures::from_array(&numbered()), Some(cell));
}

#[test]
fn every_measure_is_added() {
    let cell = Measures::from_array(&numbered()).expect("the numbers are small");
    let mut sum = cell;
    sum += &cell;
    assert_eq!(sum.to_array(), numbered().map(|number| number * 2));
}

#[test]
fn only_money_and_weight_may_leave_64_bits() {
    for index in 0..MEASURES {
        for beyond in [i128::from(i64::MAX) + 1, i128::from(i64::MIN) - 1] {
            let mut row = [0; MEASURES];
            row[index] = beyond;
            let wide = matches!(index, 1 | 2 | 10 | 11 | 15);
            assert_eq!(Measures::from_array(&row).is_some(), wide, "measure {index}");
        }
    }
}
