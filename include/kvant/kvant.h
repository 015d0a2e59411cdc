// SPDX-License-Identifier: Apache-2.0
// kvant from a C++ program: the steps of the command line as functions, in one header that needs nothing else
// of kvant's but dlpack.h beside it. Link libkvant.so.
//
//   using namespace kvant::api;
//   Model model = Model::read("model.onnx");
//   Quantized quantized = quantize(model, images(model, {.data = "imagefolder:photos"}));
//   quantized.model.write("model.qdq.onnx");
//   Engine engine = Engine::build(quantized.model, {.threads = 4});
//   std::vector<Array> outputs = engine.run({input});
//
// Everything that can go wrong with a file, an option or the environment is an Error with one sentence.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "kvant/dlpack.h"

namespace kvant::api {

// What is wrong, where, and what to do; then, in brackets, what was being done.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Row-major numbers. Models may take and give other element types: values are converted as ONNX Cast does.
struct Array {
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// A node of a model, by which placement speaks of it: its name, or that of its result if it has none.
struct Node {
  std::string name, op;
  std::vector<std::string> inputs, outputs;  // names of tensors; "" for an input left out
};

// An ONNX model, float or QDQ. Cheap to copy; copies are never changed by what is done to another.
class Model {
 public:
  struct State;

  static Model read(const std::filesystem::path& path);
  // Whole or not at all. `opset` is the least to write.
  void write(const std::filesystem::path& path, int opset = 13) const;
  std::vector<std::string> inputs() const;
  std::vector<std::string> outputs() const;
  std::vector<Node> nodes() const;  // in topological order

  explicit Model(std::shared_ptr<const State> state) : state_(std::move(state)) {}
  const State& state() const { return *state_; }

 private:
  std::shared_ptr<const State> state_;
};

// Data to calibrate on: every call of the outer function starts over, every call of the inner one gives the
// next batch, one array for each input of the model, and none at the end. Batches are not kept, so memory
// does not grow with their number.
using Batch = std::vector<Array>;
using Samples = std::function<std::function<Batch()>()>;

// Batches that are in memory already.
Samples batches(std::vector<Batch> all);

struct Images {
  std::string data;             // "FORMAT:PATH#split" as for --data: idx, cifar10, imagefolder, csv, npz
  int64_t count = 512;          // spread over the set; 0: all
  std::string preprocess = {};  // a name of --preprocess, or its JSON; "": the model's own, else "scale"
  int64_t batch = 16;
  int threads = 0;  // that decode; 0: the cores available
};
// For models of one input.
Samples images(const Model& model, const Images& options);

// The model while pairs are placed, for a pattern of one's own. Nodes are named as Model::nodes() names them,
// but batch norms may be folded by now. Unknown names are refused.
class Placement {
 public:
  struct State;

  std::vector<Node> nodes() const;
  // A Q/DQ pair before this input of the node, if that is a float activation.
  void quantize_input(const std::string& node, int input, const std::string& reason);
  // No pair before this node, whatever other patterns say.
  void keep_float(const std::string& node, const std::string& reason);
  // Bits (2 to 8) and, unless "", the calibrator of the node's pairs.
  void set_precision(const std::string& node, int bits, const std::string& calibrator = "");

  explicit Placement(State& state) : state_(state) {}

 private:
  State& state_;
};

struct OwnCase {
  std::string name;
  std::function<void(Placement&)> place;  // called again until it asks for nothing new
};

struct QuantizeOptions {
  std::string calibrator = "auto";        // max, percentile, entropy, mse, auto
  double percentile = 99.99;              // of that calibrator
  std::string weight_calibrator = "max";  // or mse
  int bits = 8;                           // 2 to 8; below 8 simulated in int8
  bool partial = false;                   // only what the spec or a case names
  std::string spec = {};  // what single layers or classes get: the text of a spec file, JSON or TOML
  std::vector<std::string> cases = {};  // empty: auto
  std::vector<OwnCase> own_cases = {};
  bool attention = false;          // the products of attentions too
  bool activation_tables = false;  // a pair before SiLU, HardSwish, GELU and Mish too: tables of codes
  std::string adjust = "fold-batch-norm";  // repair steps with commas, "auto" or "none"
  std::string target = "tensorrt";         // onnxruntime, openvino, kvant
  uint64_t seed = 0;
  int threads = 0;  // 0: the cores available
  // What is being done, how much of it, of how much (0: not known).
  std::function<void(const std::string& what, int64_t done, int64_t total)> progress = {};
};

struct LayerPrecision {
  std::string name, op;
  bool quantized = false;
  std::string reason;
};

struct Quantized {
  Model model;
  std::vector<LayerPrecision> layers;
};

// Places Q/DQ pairs, calibrates, repairs, and writes the result in the form of the target.
Quantized quantize(const Model& model, const Samples& samples, const QuantizeOptions& options = {});

struct Converted {
  Model model;
  std::vector<LayerPrecision> left_float;  // layers that the target's runtime computes in float after all
};

// A QDQ model in another target's form; every scale keeps its bits. `activations`: of the target onnxruntime,
// int8 or uint8 ("": its default). That target wants ranges of some results of convolutions; without
// `samples` those layers are left in float.
Converted convert(const Model& qdq, const std::string& target, const std::string& activations = "",
                  bool fp16 = false, const Samples& samples = {});

struct BuildOptions {
  int64_t batch = 1;  // where the model leaves it open
  int threads = 0;    // 0: the cores available
  bool tune = false;  // time the candidates of each layer and take the fastest
  bool spin = true;  // threads that wait for work spin for a while; else they sleep at once, for others' sake
  std::string device = "cpu";  // or "cuda", "cuda:1": layers without a kernel there run on the host
};

// A model compiled for this machine. One engine runs on one thread at a time; for more at once there are
// contexts.
class Engine {
 public:
  struct State;

  static Engine build(const Model& model, const BuildOptions& options = {});
  // A plan file of `kvant build` or save(). `threads` 0: as it was built.
  static Engine load(const std::filesystem::path& plan, int threads = 0, const std::string& device = "cpu");
  void save(const std::filesystem::path& plan) const;
  // Shapes as the plan has them; the same inputs give the same outputs. An engine built from a model takes
  // other sizes of the dimensions that the model leaves open, too: for each it plans once, and keeps that.
  std::vector<Array> run(const std::vector<Array>& inputs);
  std::vector<std::vector<int64_t>> input_shapes() const;
  // Another one to run beside this one on another thread, with threads and memory for tensors of its own and
  // the same constants, on the device too. May be called while this one runs, and outlive it.
  Engine context(int threads = 0) const;

  // DLPack tensors, one for each input and output of the model, of exactly its element types, compact and row
  // by row: used where they lie, on the host (kCpu; kCudaHost is copied to the card without a detour) and on
  // the engine's card (kCuda). What is on a card must be complete before the call, and is when it returns.
  // Shapes as for run(). The first two runs over the same places on a card are slower than those after.
  void run_into(const std::vector<dlpack::Tensor>& inputs, const std::vector<dlpack::Tensor>& outputs);
  // The same into new memory: of the host, or of the engine's card.
  std::vector<dlpack::Owned> run_dlpack(const std::vector<dlpack::Tensor>& inputs, bool on_device = false);

  explicit Engine(std::shared_ptr<State> state) : state_(std::move(state)) {}

 private:
  std::shared_ptr<State> state_;
};

// The reference: computes what the graph says, operator by operator, slowly.
std::vector<Array> interpret(const Model& model, const std::vector<Array>& inputs);

std::string version();

}  // namespace kvant::api
