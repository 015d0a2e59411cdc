# SPDX-License-Identifier: Apache-2.0
# The host part knows no torch; the plug-in (torch/) is built when LibTorch is found and loaded at run time.
kvant_module(train DEPS ir ops data EXCLUDE "/train/torch/" LIBRARIES ${CMAKE_DL_LIBS})
set(KVANT_FAKE_QUANTIZE_FLAGS -O3 -fopenmp-simd -fno-trapping-math -fno-math-errno)
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/train/fake_quantize.cc
                            PROPERTIES COMPILE_OPTIONS "${KVANT_FAKE_QUANTIZE_FLAGS}" SKIP_PRECOMPILE_HEADERS ON)

# A folder with include/ and lib/ of torch, as in a Python wheel. Its own TorchConfig.cmake wants the CUDA compiler when
# it is a CUDA wheel; the plug-in needs the headers and the libraries only.
macro(kvant_torch_at root)
  foreach(file include/ATen/ATen.h lib/libtorch_cpu.so lib/libc10.so)
    if(NOT EXISTS ${root}/${file})
      message(FATAL_ERROR "KVANT_TORCH_ROOT=${root} has no ${file}; it must be the folder torch/ of a LibTorch or of an unpacked wheel")
    endif()
  endforeach()
  add_library(kvant_libtorch INTERFACE)
  target_include_directories(kvant_libtorch SYSTEM INTERFACE ${root}/include ${root}/include/torch/csrc/api/include)
  set(cuda_library "")
  if(EXISTS ${root}/lib/libtorch_cuda.so)  # train --device cuda; it registers itself when it is loaded
    set(cuda_library ${root}/lib/libtorch_cuda.so)
  endif()
  # As options: CMake would warn of the libgomp beside them, which is never taken, for one of that name is loaded already.
  # What torch's libraries need themselves they find by their own run path when the program starts.
  target_link_options(kvant_libtorch INTERFACE -Wl,--no-as-needed ${root}/lib/libtorch_cpu.so ${root}/lib/libc10.so ${cuda_library}
                      -Wl,--allow-shlib-undefined -Wl,-rpath,${root}/lib)
  set(Torch_FOUND TRUE)
  set(Torch_VERSION "of ${root}")
  set(TORCH_LIBRARIES kvant_libtorch)
endmacro()

# In a function: TorchConfig sets many variables.
function(kvant_train_plugin)
  if(KVANT_TRAIN STREQUAL "OFF")
    message(STATUS "Training plug-in: off (KVANT_TRAIN=OFF)")
    return()
  endif()
  if(KVANT_TORCH_ROOT)
    kvant_torch_at(${KVANT_TORCH_ROOT})
  else()
    find_package(Torch QUIET)
  endif()
  find_package(OpenMP QUIET COMPONENTS CXX)
  if(NOT Torch_FOUND OR NOT OpenMP_CXX_FOUND)
    if(KVANT_TRAIN STREQUAL "ON")
      message(FATAL_ERROR "KVANT_TRAIN=ON needs LibTorch and OpenMP: apt-get install libtorch-dev libopenblas0-openmp, "
                          "or pass -DKVANT_TORCH_ROOT=<folder of LibTorch 2.x>")
    endif()
    message(STATUS "Training plug-in: not built (LibTorch not found; kvant train will say so)")
    return()
  endif()
  message(STATUS "Training plug-in: LibTorch ${Torch_VERSION}")
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/train/torch/*.cc)
  list(FILTER sources EXCLUDE REGEX "_(test|oracle)\\.cc$")
  # An object library, so that the oracle test can link the same code that the plug-in hides.
  add_library(kvant_train_torch_objects OBJECT ${sources} ${PROJECT_SOURCE_DIR}/src/train/fake_quantize.cc)
  target_include_directories(kvant_train_torch_objects PRIVATE ${PROJECT_SOURCE_DIR}/src)
  # The narrow headers of single operators wherever ATen offers the choice.
  target_compile_definitions(kvant_train_torch_objects PRIVATE AT_PER_OPERATOR_HEADERS)
  # No -Werror here: newer compilers warn falsely inside torch's headers. OpenMP in every file: at::parallel_for is a
  # header template that turns serial without it.
  # -O1: the time goes into torch's own library and fake_quantize.cc, which has flags of its own.
  target_compile_options(kvant_train_torch_objects PRIVATE -Wall -Wextra -ffp-contract=off -O1)
  set_target_properties(kvant_train_torch_objects PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  target_link_libraries(kvant_train_torch_objects PRIVATE ${TORCH_LIBRARIES} OpenMP::OpenMP_CXX)
  add_library(kvant_train_torch MODULE $<TARGET_OBJECTS:kvant_train_torch_objects>)
  set_target_properties(kvant_train_torch PROPERTIES PREFIX "")
  target_link_libraries(kvant_train_torch PRIVATE ${TORCH_LIBRARIES} OpenMP::OpenMP_CXX ${CMAKE_DL_LIBS})
  target_link_options(kvant_train_torch PRIVATE -Wl,--no-undefined -Wl,--version-script=${PROJECT_SOURCE_DIR}/src/train/torch/exports.map)
  if(KVANT_TESTS)
    add_dependencies(train_torch_test kvant_train_torch)
    kvant_test(train_oracle_test SOURCES ${PROJECT_SOURCE_DIR}/src/train/torch/fake_quantize_oracle.cc
               LIBRARIES ${TORCH_LIBRARIES} OpenMP::OpenMP_CXX ${CMAKE_DL_LIBS} LABELS train)
    target_sources(train_oracle_test PRIVATE $<TARGET_OBJECTS:kvant_train_torch_objects>)
    target_include_directories(train_oracle_test PRIVATE ${PROJECT_SOURCE_DIR}/src)
    target_compile_options(train_oracle_test PRIVATE -O1)
  endif()
endfunction()

if(KVANT_TESTS)
  # Through the loader, like kvant itself: built without torch too, and skipped with a notice then.
  file(GLOB KVANT_TRAIN_TORCH_TESTS CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/src/train/torch/*_test.cc)
  kvant_test(train_torch_test SOURCES ${KVANT_TRAIN_TORCH_TESTS} LIBRARIES kvant_train LABELS train)
endif()
kvant_train_plugin()
