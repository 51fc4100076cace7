//! Signs that switch on at one value and off at another.

/// A sign that does not flicker around one value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Hysteresis {
    on: bool,
}

impl Hysteresis {
    /// Switches on from `high` on, and off below `low`; returns how it stands.
    pub(super) fn note(&mut self, value: f64, high: f64, low: f64) -> bool {
        self.on = value >= high || (self.on && value >= low);
        self.on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sign_stays_between_its_values() {
        let mut sign = Hysteresis::default();
        let seen: Vec<_> = [0.0, 0.7, 0.8, 0.7, 0.6, 0.59, 0.7, 0.9]
            .into_iter()
            .map(|value| u8::from(sign.note(value, 0.8, 0.6)))
            .collect();
        assert_eq!(seen, [0, 0, 1, 1, 1, 0, 0, 1]);
    }
}
