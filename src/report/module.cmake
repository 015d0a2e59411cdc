# SPDX-License-Identifier: Apache-2.0
kvant_module(report DEPS ir engine TEST_DEPS backends quant zoo)
