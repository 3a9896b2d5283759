//! A series of numbers as a row of bars.
//!
//! Rests on nothing. Invariant: the lowest value has the lowest bar and the highest the highest; of many values that share a
//! bar, the one that differs most from the bar before is shown, so that a jump of one run is seen.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// The bars of `values`, at most `width` of them.
pub fn sparkline(values: &[u64], width: usize) -> String {
    let shown = squeeze(values, width.max(1));
    let (Some(low), Some(high)) = (shown.iter().min().copied(), shown.iter().max().copied()) else {
        return String::new();
    };
    let bar = |value: &u64| {
        // A flat line is neither high nor low.
        if low == high {
            return BARS[3];
        }
        let step = u128::from(value - low) * 7 / u128::from(high - low);
        BARS[usize::try_from(step).unwrap_or(7)]
    };
    shown.iter().map(bar).collect()
}

fn squeeze(values: &[u64], width: usize) -> Vec<u64> {
    if values.len() <= width {
        return values.to_vec();
    }
    let mut shown: Vec<u64> = Vec::with_capacity(width);
    for n in 0..width {
        let group = &values[n * values.len() / width..(n + 1) * values.len() / width];
        let before = shown.last().copied().unwrap_or(values[0]);
        shown.extend(group.iter().copied().max_by_key(|value| value.abs_diff(before)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_follow_values() {
        assert_eq!(sparkline(&[0, 7, 14], 80), "▁▄█");
        assert_eq!(sparkline(&[5, 5], 80), "▄▄");
        assert_eq!(sparkline(&[], 80), "");
        assert_eq!(sparkline(&[0, u64::MAX], 80), "▁█");
        let mut many = vec![100; 1000];
        many[500] = 0;
        let line = sparkline(&many, 60);
        assert_eq!((line.chars().count(), line.matches('▁').count()), (60, 1), "{line}");
    }
}
