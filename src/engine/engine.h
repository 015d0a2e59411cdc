// SPDX-License-Identifier: Apache-2.0
// The engine's whole face: build a plan from a (QDQ or float) graph, keep it in a file, load it and run it.
//   Plan plan = build(graph, ops, backends, {.batch = 1});   write_plan(plan, path);
//   Engine engine(read_plan(path, ops), backends);           engine.run(inputs);
//   Engine beside = engine.context();                         for another thread
//   ShapedEngine any(graph, ops, backends, {});               plans for whatever shapes come
#pragma once

#include "engine/backend.h"
#include "engine/build/build.h"
#include "engine/passes/pipeline.h"
#include "engine/plan/plan.h"
#include "engine/run/executor.h"
#include "engine/run/shaped_engine.h"
