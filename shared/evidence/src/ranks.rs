//! Ranks, and the correlation of ranks.

/// The rank of each value, from 1 on, in the order of the values given; equal values share the mean
/// of their ranks. Values are no NaN. `O(n log n)`.
pub fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|&i, &j| values[i].total_cmp(&values[j]));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    #[expect(clippy::float_cmp, reason = "ties are equal values, to the bit")]
    for ties in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let rank = f64::midpoint(before as f64 + 1.0, (before + ties.len()) as f64);
        for &i in ties {
            ranks[i] = rank;
        }
        before += ties.len();
    }
    ranks
}

/// Spearman's rank correlation with ties: the correlation of the midranks. Between -1 and 1; `None`
/// when one side is constant or there are fewer than two pairs.
///
/// Of the usual two, Spearman's rather than Kendall's tau-b: it needs the midranks that the area
/// under the curve needs, and nothing more.
pub fn spearman(first: &[f64], second: &[f64]) -> Option<f64> {
    let (first, second) = (midranks(first), midranks(second));
    // Ranks sum to n (n + 1) / 2, whatever the ties.
    let mean = f64::midpoint(1.0, first.len() as f64);
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum()
    };
    let scale = (product(&first, &first) * product(&second, &second)).sqrt();
    (scale > 0.0).then(|| product(&first, &second) / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_share_the_mean_of_their_ranks() {
        assert_eq!(midranks(&[0.3, 0.1, 0.3, 0.2, 0.3]), [4.0, 1.0, 4.0, 2.0, 4.0]);
        assert_eq!(midranks(&[]), [0.0; 0]);
    }

    #[test]
    fn ranks_correlate_whatever_the_scale() {
        let values = [0.1, 0.7, 0.2, 0.9, 0.4];
        let cubes: Vec<f64> = values.iter().map(|v: &f64| v.powi(3)).collect();
        let against: Vec<f64> = values.iter().map(|v| -v).collect();
        assert!((spearman(&values, &cubes).unwrap() - 1.0).abs() < 1e-12);
        assert!((spearman(&values, &against).unwrap() + 1.0).abs() < 1e-12);
    }

    /// By hand: ranks 1, 2.5, 2.5, 4 and 1, 3, 2, 4 have the products 2.25 + 0 + 0 + 2.25, and
    /// squares that sum to 4.5 and 5.
    #[test]
    fn ties_are_corrected_for() {
        let rho = spearman(&[1.0, 2.0, 2.0, 3.0], &[10.0, 30.0, 20.0, 40.0]).unwrap();
        assert!((rho - 4.5 / 22.5_f64.sqrt()).abs() < 1e-12);
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
        assert_eq!(spearman(&[1.0], &[1.0]), None);
    }
}
