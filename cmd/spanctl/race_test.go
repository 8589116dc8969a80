//go:build race

package main

// raceDetector is set where every process is several times slower.
const raceDetector = true
