//! Tests of the tester.
