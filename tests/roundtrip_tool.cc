// SPDX-License-Identifier: Apache-2.0
// Reads a model and writes it again: what the interoperability tests check with other programs.
//   roundtrip_tool IN.onnx OUT.onnx [--external] [--opset N] [--no-lift]
#include <cstdio>
#include <exception>
#include <string_view>

#include "base/error.h"
#include "formats/model.h"

namespace {

int run(int argc, char** argv) {
  kvant::formats::ReadOptions read;
  kvant::formats::WriteOptions write;
  for (int i = 3; i < argc; ++i) {
    const std::string_view flag = argv[i];
    if (flag == "--external") write.external = true;
    if (flag == "--no-lift") read.lift = false;
    if (flag == "--opset" && i + 1 < argc) write.opset = std::stoi(argv[++i]);
  }
  kvant::formats::write(kvant::formats::read(argv[1], read), argv[2], write);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fputs("usage: roundtrip_tool IN.onnx OUT.onnx [--external] [--opset N] [--no-lift]\n", stderr);
    return 2;
  }
  try {
    return run(argc, argv);
  } catch (const kvant::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    for (const std::string& note : error.trail()) std::fprintf(stderr, "  %s\n", note.c_str());
    return 1;
  }
}
