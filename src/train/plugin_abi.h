/* SPDX-License-Identifier: Apache-2.0 */
/* The C border between kvant and its training plug-in (kvant_train_torch.so). Plain pointers and numbers
 * only: no std:: or torch type crosses, no exception crosses. Functions return 0, or 1 with a sentence in
 * `error`. What the host passes lives until the call returns; what the plug-in hands out lives as said at
 * each function. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define KVANT_TRAIN_ABI 3u

typedef enum {
  KVANT_TRAIN_F32,
  KVANT_TRAIN_F64,
  KVANT_TRAIN_I32,
  KVANT_TRAIN_I64,
  KVANT_TRAIN_U8,
  KVANT_TRAIN_I8,
  KVANT_TRAIN_BOOL
} kvant_train_dtype;

/* Dense, row-major. */
typedef struct {
  int32_t dtype;
  int32_t rank;
  const int64_t* shape;
  const void* data;
} kvant_train_tensor;

typedef enum {
  KVANT_TRAIN_INTEGER,
  KVANT_TRAIN_REAL,
  KVANT_TRAIN_TEXT,
  KVANT_TRAIN_INTEGERS,
  KVANT_TRAIN_REALS
} kvant_train_attribute_kind;

typedef struct {
  const char* name;
  int32_t kind;
  int64_t integer;
  double real;
  const char* text;
  const int64_t* integers; /* count of them */
  const float* reals;      /* count of them */
  int64_t count;
} kvant_train_attribute;

/* ONNX operators at kvant's opset, and one of ours:
 *   FakeQuantize(x, scale) {axis (-1: per tensor), low[], high[] (codes without the zero point; 1 or one per
 *     channel), activation (1: axis 0 of x is the batch),
 *     follow (x is a trained constant; after every step the scale is  1: the share of max|x| / high that it
 *     was at the start,  2: max|x| / high),
 *     track (every training pass sets the scale from its x, before it is used:  1: to the smallest that
 *     covers min(x)..max(x),  2: to the moving average of that)} */
typedef struct {
  const char* op;
  const char* name;
  const int32_t* inputs; /* value ids, -1 for an absent one */
  int32_t input_count;
  const int32_t* outputs;
  int32_t output_count;
  const kvant_train_attribute* attributes;
  int32_t attribute_count;
} kvant_train_node;

typedef enum {
  KVANT_TRAIN_FIXED,     /* never changes, not part of the state */
  KVANT_TRAIN_WEIGHT,    /* trained, with weight decay */
  KVANT_TRAIN_PARAMETER, /* trained, without */
  KVANT_TRAIN_STATISTIC, /* running mean or variance of a BatchNormalization */
  KVANT_TRAIN_SCALE,     /* quantization scale that follows its weights or its batches */
  KVANT_TRAIN_LEARNED    /* quantization scale trained by gradient (LSQ) */
} kvant_train_role;

typedef struct {
  int32_t value;
  int32_t role;
  kvant_train_tensor tensor;
} kvant_train_constant;

/* Values are numbers in [0, value_count); nodes come in an order in which they can run. */
typedef struct {
  int32_t value_count;
  const kvant_train_node* nodes;
  int32_t node_count;
  const kvant_train_constant* constants;
  int32_t constant_count;
  const int32_t* inputs;
  int32_t input_count;
  const int32_t* outputs;
  int32_t output_count;
} kvant_train_graph;

typedef struct {
  int32_t training;  /* 0: forward passes only, no gradients, no optimizer state */
  int32_t optimizer; /* 0: SGD with momentum, 1: AdamW */
  int32_t nesterov;
  int32_t channels_last;
  double momentum;
  double beta1, beta2, epsilon; /* AdamW */
  double weight_decay;
  double label_smoothing;
  double clip_norm;           /* 0: no clipping */
  double scale_learning_rate; /* of learned scales, as a factor on the learning rate */
  double range_momentum;      /* share of the old value in a moving average of scales */
  double distill_weight;      /* share of the teacher's term in the loss, 0 without a teacher */
  double distill_temperature;
  int32_t device; /* 0: the CPU; N + 1: CUDA card N */
} kvant_train_settings;

typedef struct {
  const kvant_train_tensor* images; /* f32 [N, ...] */
  const int64_t* labels;            /* N of them, in [0, classes); null: the teacher's choice counts as right,
                                     * which needs a teacher with a weight of 1 */
  const kvant_train_tensor* teacher; /* logits [N, classes], or null */
  double learning_rate;
  int64_t step;              /* 1 for the first; AdamW's bias correction */
  uint64_t seed;             /* of this step's random numbers (Dropout) */
  int32_t frozen_statistics; /* 1: BatchNormalization uses and keeps its running statistics */
  int32_t frozen_ranges;     /* 1: no quantization scale changes, whatever its role */
} kvant_train_batch;

typedef struct {
  double loss; /* mean over the batch */
  int64_t correct;
} kvant_train_outcome;

/* One tensor of the state: a constant that may change, or an optimizer slot of one (velocity, moments). */
typedef struct {
  int32_t value; /* the constant's value id */
  int32_t slot;  /* 0: the constant itself; 1, 2: the optimizer's */
  int64_t count; /* elements */
} kvant_train_state;

typedef struct kvant_train_session kvant_train_session;

typedef struct {
  uint32_t abi;
  /* Threads of all torch work; once after loading. */
  int (*configure)(int32_t threads, char* error, size_t error_size);
  /* "key=value" lines: torch, blas, onednn, threads, cards (CUDA cards that torch can use; "none" when it
   * was built without CUDA). Lives as long as the plug-in. */
  const char* (*describe)(void);
  /* 1 if graphs may hold this operator. */
  int (*supports)(const char* op);
  int (*create)(const kvant_train_graph* graph, const kvant_train_settings* settings,
                kvant_train_session** session, char* error, size_t error_size);
  void (*destroy)(kvant_train_session* session);
  /* Forward, loss on output 0, backward, optimizer. */
  int (*step)(kvant_train_session* session, const kvant_train_batch* batch, kvant_train_outcome* outcome,
              char* error, size_t error_size);
  /* Forward without gradients. outputs[i] (output_count of them) point into the session until its next call.
   */
  int (*forward)(kvant_train_session* session, const kvant_train_tensor* inputs, int32_t input_count,
                 kvant_train_tensor* outputs, int32_t output_count, char* error, size_t error_size);
  /* Milliseconds of `iterations` forward passes over the same input, each timed, after `warmup` untimed ones.
   */
  int (*bench)(kvant_train_session* session, const kvant_train_tensor* inputs, int32_t input_count,
               int32_t warmup, int32_t iterations, double* milliseconds, char* error, size_t error_size);
  int32_t (*state_count)(const kvant_train_session* session);
  int (*state_at)(const kvant_train_session* session, int32_t index, kvant_train_state* state);
  /* Row-major floats in the constant's shape. */
  int (*state_read)(kvant_train_session* session, int32_t index, float* data, char* error, size_t error_size);
  int (*state_write)(kvant_train_session* session, int32_t index, const float* data, char* error,
                     size_t error_size);
} kvant_train_api;

/* The table for this ABI version, or null when the plug-in speaks another. The only symbol of the plug-in. */
typedef const kvant_train_api* (*kvant_train_get_api_function)(uint32_t abi);

#ifdef __cplusplus
}
#endif
