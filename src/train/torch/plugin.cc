// SPDX-License-Identifier: Apache-2.0
// The border itself: catches everything, hands out the table of functions.
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <dlfcn.h>
#include <omp.h>
#include <torch/csrc/api/include/torch/version.h>

#include <climits>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "train/torch/seed.h"
#include "train/torch/session.h"

struct kvant_train_session {
  kvant::train::plugin::Session session;
};

namespace kvant::train::plugin {

void seed_torch(uint64_t seed) { at::manual_seed(seed); }

namespace {

void tell(char* error, size_t size, const char* message) {
  if (error != nullptr && size > 0) std::snprintf(error, size, "%s", message);
}

// Runs `fn`; 0, or 1 and the sentence.
template <class Fn>
int guarded(char* error, size_t size, const Fn& fn) {
  try {
    fn();
    return 0;
  } catch (const c10::Error& e) {
    tell(error, size, e.what_without_backtrace());
  } catch (const std::bad_alloc&) {
    tell(error, size, "out of memory; use a smaller batch");
  } catch (const std::exception& e) {
    tell(error, size, e.what());
  } catch (...) {
    tell(error, size, "an exception of an unknown kind");
  }
  return 1;
}

// Which library really serves BLAS calls: Debian picks it by a link at run time.
std::string blas_name() {
  void* library = dlopen("libblas.so.3", RTLD_LAZY | RTLD_NOLOAD);
  if (library == nullptr) return "built in";
  if (dlsym(library, "openblas_get_config") != nullptr) return "OpenBLAS";
  if (dlsym(library, "mkl_get_version") != nullptr) return "MKL";
  return "reference (slow; apt-get install libopenblas0-openmp)";
}

// How many cards torch can use.
std::string cards() {
  if (!at::globalContext().hasCUDA()) return at::detail::getCUDAHooks().hasCUDART() ? "0" : "none";
  return std::to_string(at::detail::getCUDAHooks().getNumGPUs());
}

std::string& description() {
  static std::string text;
  return text;
}

int configure(int32_t threads, char* error, size_t size) {
  return guarded(error, size, [&] {
    at::set_num_threads(threads);
    omp_set_num_threads(threads);
  });
}

const char* describe() {
  try {
    description() = "torch=" TORCH_VERSION "\nblas=" + blas_name() +
                    "\nonednn=" + (at::globalContext().hasMKLDNN() ? "yes" : "no") +
                    "\nthreads=" + std::to_string(at::get_num_threads()) + "\ncards=" + cards() + "\n";
    return description().c_str();
  } catch (...) {
    return "torch=unknown\n";
  }
}

int supports(const char* op) { return find_builder(op) != nullptr ? 1 : 0; }

int create(const kvant_train_graph* graph, const kvant_train_settings* settings,
           kvant_train_session** session, char* error, size_t size) {
  return guarded(error, size, [&] { *session = new kvant_train_session{Session(*graph, *settings)}; });
}

void destroy(kvant_train_session* session) { delete session; }

int step(kvant_train_session* session, const kvant_train_batch* batch, kvant_train_outcome* outcome,
         char* error, size_t size) {
  return guarded(error, size, [&] { *outcome = session->session.step(*batch); });
}

int forward(kvant_train_session* session, const kvant_train_tensor* inputs, int32_t input_count,
            kvant_train_tensor* outputs, int32_t output_count, char* error, size_t size) {
  return guarded(error, size, [&] { session->session.forward(inputs, input_count, outputs, output_count); });
}

int bench(kvant_train_session* session, const kvant_train_tensor* inputs, int32_t input_count, int32_t warmup,
          int32_t iterations, double* milliseconds, char* error, size_t size) {
  return guarded(error, size,
                 [&] { session->session.bench(inputs, input_count, warmup, iterations, milliseconds); });
}

int32_t state_count(const kvant_train_session* session) { return session->session.state_count(); }

int state_at(const kvant_train_session* session, int32_t index, kvant_train_state* state) {
  return guarded(nullptr, 0, [&] { *state = session->session.state_at(index); });
}

int state_read(kvant_train_session* session, int32_t index, float* data, char* error, size_t size) {
  return guarded(error, size, [&] { session->session.state_read(index, data); });
}

int state_write(kvant_train_session* session, int32_t index, const float* data, char* error, size_t size) {
  return guarded(error, size, [&] { session->session.state_write(index, data); });
}

}  // namespace
}  // namespace kvant::train::plugin

extern "C" __attribute__((visibility("default"))) const kvant_train_api* kvant_train_get_api(uint32_t abi) {
  using namespace kvant::train::plugin;
  static const kvant_train_api api{KVANT_TRAIN_ABI, configure,  describe,   supports, create,
                                   destroy,         step,       forward,    bench,    state_count,
                                   state_at,        state_read, state_write};
  return abi == KVANT_TRAIN_ABI ? &api : nullptr;
}
