// SPDX-License-Identifier: Apache-2.0
// How long OpenMP's idle threads spin. oneDNN and LibTorch run on them.
#pragma once

namespace kvant::cli {

// libgomp spins for milliseconds by default before a waiting thread sleeps: on a machine that others use too,
// float networks on two threads then run ten times slower. Its environment is read before main(), so the
// program starts itself once more with a spin as short as the engine's own (engine/run/team.cc), or without
// any where --no-spin is given. Nothing happens when the user has chosen (OMP_WAIT_POLICY, GOMP_SPINCOUNT),
// or when the program cannot be found.
void calm_openmp(char** arguments);

}  // namespace kvant::cli
