# SPDX-License-Identifier: Apache-2.0
kvant_module(quant DEPS ops data TEST_DEPS zoo)
