// Held to gguf-py and ggml: the file that tests/reference/make_gguf_fixtures.py writes.
#include "quant/gguf_blocks.h"

#include <cmath>
#include <cstring>

#include "base/dtype.h"
#include "base/file.h"
#include "base/json.h"
#include "base/rng.h"
#include "base/test_util.h"
#include "quant/gguf_packing.h"
#include "tensor/aligned_buffer.h"

namespace qwen25 {
namespace {

constexpr GgmlType kQuantized[] = {GgmlType::kQ8_0, GgmlType::kQ4_0, GgmlType::kQ4_1, GgmlType::kQ5_0,
                                   GgmlType::kQ5_1, GgmlType::kQ4_K, GgmlType::kQ5_K, GgmlType::kQ6_K};
constexpr GgmlType kDecodedOnly[] = {GgmlType::kQ2_K, GgmlType::kQ3_K, GgmlType::kMXFP4};
constexpr GgmlType kSimple[] = {GgmlType::kF16,  GgmlType::kBF16, GgmlType::kQ8_0, GgmlType::kQ4_0,
                                GgmlType::kQ4_1, GgmlType::kQ5_0, GgmlType::kQ5_1};
constexpr GgmlType kK[] = {GgmlType::kQ4_K, GgmlType::kQ5_K, GgmlType::kQ6_K};

std::vector<GgmlType> AllQuantized() {
  std::vector<GgmlType> types(std::begin(kQuantized), std::end(kQuantized));
  types.insert(types.end(), std::begin(kDecodedOnly), std::end(kDecodedOnly));
  return types;
}
// Whose groups of 32 have two scales.
bool HasTwoScales(GgmlType type) {
  return type == GgmlType::kQ2_K || type == GgmlType::kQ3_K || type == GgmlType::kQ6_K;
}

// The fixture, a safetensors file: a layer above this one has the reader.
class Fixture {
 public:
  struct Tensor {
    size_t rows, cols;
    std::string bytes;
    template <typename T>
    std::vector<T> As() const {
      std::vector<T> values(bytes.size() / sizeof(T));
      std::memcpy(values.data(), bytes.data(), bytes.size());
      return values;
    }
    const std::byte* Row(size_t row) const {
      return reinterpret_cast<const std::byte*>(bytes.data()) + row * (bytes.size() / rows);
    }
  };
  Fixture() : file_(ReadFile(SourcePath("tests/reference/fixtures/gguf_blocks.safetensors")).value()) {
    std::memcpy(&header_bytes_, file_.data(), 8);
    header_ = ParseJson(file_.substr(8, header_bytes_), "fixture").value();
  }
  Tensor Get(const std::string& name) const {
    const Json& entry = header_.at(name);
    const auto begin = entry["data_offsets"][0].get<size_t>(), end = entry["data_offsets"][1].get<size_t>();
    const Json& shape = entry["shape"];
    return {shape[0].get<size_t>(), shape.size() > 1 ? shape[1].get<size_t>() : 1,
            file_.substr(8 + header_bytes_ + begin, end - begin)};
  }
  Tensor Get(GgmlType type, const char* part) const {
    return Get(std::string(GgmlTypeName(type)) + "." + part);
  }

 private:
  std::string file_;
  uint64_t header_bytes_ = 0;
  Json header_;
};

std::vector<float> DecodeAll(GgmlType type, const Fixture::Tensor& blocks, size_t cols) {
  std::vector<float> values(blocks.rows * cols);
  for (size_t row = 0; row < blocks.rows; ++row) {
    DecodeGgufRow(type, blocks.Row(row), cols, values.data() + row * cols);
  }
  return values;
}

bool SameBits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

TEST(GgufBlocksTest, DecodesAsGgufPy) {
  const Fixture fixture;
  for (const GgmlType type : kSimple) {
    const Fixture::Tensor decoded = fixture.Get(type, "decoded");
    EXPECT_TRUE(SameBits(DecodeAll(type, fixture.Get(type, "blocks"), decoded.cols), decoded.As<float>()))
        << GgmlTypeName(type);
  }
  for (const GgmlType type : AllQuantized()) {
    const Fixture::Tensor decoded = fixture.Get(type, "random_decoded");
    EXPECT_TRUE(
        SameBits(DecodeAll(type, fixture.Get(type, "random_blocks"), decoded.cols), decoded.As<float>()))
        << GgmlTypeName(type);
  }
}

TEST(GgufBlocksTest, FormatsThatAreNotWrittenSaySo) {
  for (const GgmlType type : kQuantized) EXPECT_TRUE(CanDecodeGguf(type) && CanEncodeGguf(type));
  for (const GgmlType type : kDecodedOnly) EXPECT_TRUE(CanDecodeGguf(type) && !CanEncodeGguf(type));
  for (const GgmlType type : AllQuantized()) {
    EXPECT_NE(kDecodedGgufTypes.find(GgmlTypeName(type)), kDecodedGgufTypes.npos) << GgmlTypeName(type);
  }
}

TEST(GgufBlocksTest, EncodesAsGgufPy) {
  const Fixture fixture;
  const Fixture::Tensor values = fixture.Get("values");
  const std::vector<float> x = values.As<float>();
  for (const GgmlType type : kSimple) {
    const Fixture::Tensor blocks = fixture.Get(type, "blocks");
    std::vector<std::byte> out(GgmlRowBytes(type, values.cols));
    for (size_t row = 0; row < values.rows; ++row) {
      EncodeGgufRow(type, x.data() + row * values.cols, values.cols, out.data());
      EXPECT_EQ(std::memcmp(out.data(), blocks.Row(row), out.size()), 0)
          << GgmlTypeName(type) << " row " << row;
    }
  }
}

TEST(GgufBlocksTest, KFormatsLoseNoMoreThanGgml) {
  const Fixture fixture;
  const Fixture::Tensor values = fixture.Get("values");
  const std::vector<float> x = values.As<float>();
  for (const GgmlType type : kK) {
    const std::vector<double> ggml = fixture.Get(type, "ggml_squared_error").As<double>();
    std::vector<std::byte> out(GgmlRowBytes(type, values.cols));
    std::vector<float> decoded(values.cols);
    for (size_t row = 0; row < values.rows; ++row) {
      const float* numbers = x.data() + row * values.cols;
      EncodeGgufRow(type, numbers, values.cols, out.data());
      DecodeGgufRow(type, out.data(), values.cols, decoded.data());
      double error = 0;
      for (size_t i = 0; i < values.cols; ++i) error += std::pow(double{decoded[i]} - numbers[i], 2);
      EXPECT_LE(error, ggml[row]) << GgmlTypeName(type) << " row " << row;
    }
  }
}

TEST(GgufBlocksTest, FittedScalesLoseLessThanTheReference) {
  const Fixture fixture;
  const Fixture::Tensor values = fixture.Get("values"), reference = fixture.Get(GgmlType::kQ4_0, "decoded");
  const std::vector<float> x = values.As<float>(), plain = reference.As<float>();
  std::vector<std::byte> out(GgmlRowBytes(GgmlType::kQ4_0, values.cols));
  std::vector<float> decoded(values.cols);
  const auto squared_error = [&](const float* got, const float* wanted) {
    double error = 0;
    for (size_t i = 0; i < values.cols; ++i) error += std::pow(double{got[i]} - wanted[i], 2);
    return error;
  };
  for (size_t row = 0; row < 2; ++row) {  // Gaussian, uniform
    EncodeFittedQ4_0Row(x.data() + row * values.cols, values.cols, out.data());
    DecodeGgufRow(GgmlType::kQ4_0, out.data(), values.cols, decoded.data());
    EXPECT_LT(squared_error(decoded.data(), x.data() + row * values.cols),
              0.98 * squared_error(plain.data() + row * values.cols, x.data() + row * values.cols));
  }
}

TEST(GgufBlocksTest, OddRowsEncodeWithoutHarm) {
  std::vector<float> x(256);
  for (const float value : {0.0f, 1e-38f, -1e-40f, 3e38f, -65504.0f, 1e-8f}) {
    for (size_t i = 0; i < x.size(); ++i) x[i] = i % 3 == 0 ? value : 0;
    for (const GgmlType type : kQuantized) {
      std::vector<std::byte> out(GgmlRowBytes(type, x.size()));
      EncodeGgufRow(type, x.data(), x.size(), out.data());
      std::vector<float> again(x.size());
      DecodeGgufRow(type, out.data(), x.size(), again.data());
      if (value == 0) {
        EXPECT_TRUE(std::all_of(again.begin(), again.end(), [](float y) { return y == 0; }));
      }
    }
  }
}

// Packs rows of one format and reads them back.
std::vector<float> Repack(GgmlType type, WeightFormat format, const Fixture::Tensor& blocks, size_t cols) {
  ThreadPool threads(2);
  const AlignedBuffer<std::byte> memory(PackedWeightBytes(format, blocks.rows, cols));
  const auto source = [&](size_t row) { return GgufRow{type, blocks.Row(row)}; };
  QWEN25_CHECK(PackGgufWeight(threads, format, blocks.rows, cols, source, memory.data()).ok());
  std::vector<float> values(blocks.rows * cols);
  for (size_t row = 0; row < blocks.rows; ++row) {
    UnpackRow({format, memory.data()}, blocks.rows, cols, row, values.data() + row * cols);
  }
  return values;
}

// The greatest error in units of the greatest number of the same group of 32.
double WorstError(const std::vector<float>& got, const std::vector<float>& wanted) {
  double worst = 0;
  for (size_t begin = 0; begin < wanted.size(); begin += 32) {
    double greatest = 1e-30, error = 0;
    for (size_t i = begin; i < begin + 32; ++i) {
      greatest = std::max(greatest, std::fabs(double{wanted[i]}));
      error = std::max(error, std::fabs(double{got[i]} - wanted[i]));
    }
    worst = std::max(worst, error / greatest);
  }
  return worst;
}

TEST(GgufPackingTest, StoredFormatsKeepTheNumbers) {
  const Fixture fixture;
  for (const GgmlType type : AllQuantized()) {
    const Fixture::Tensor decoded = fixture.Get(type, "random_decoded");
    const std::vector<float> wanted = decoded.As<float>();
    const std::vector<float> got =
        Repack(type, StoredFormatOf(type), fixture.Get(type, "random_blocks"), decoded.cols);
    if (type == GgmlType::kQ4_K || type == GgmlType::kQ5_K) {
      EXPECT_LT(WorstError(got, wanted), 0.003) << GgmlTypeName(type);  // two roundings of 2^-11, and a sum
    } else if (HasTwoScales(type)) {
      EXPECT_LT(WorstError(got, wanted), 0.0045) << GgmlTypeName(type);  // half of 1 / 127, and rounding
    } else {
      EXPECT_EQ(WorstError(got, wanted), 0) << GgmlTypeName(type);
    }
  }
  for (const GgmlType type : {GgmlType::kF16, GgmlType::kBF16}) {
    const Fixture::Tensor decoded = fixture.Get(type, "decoded");
    EXPECT_TRUE(SameBits(Repack(type, StoredFormatOf(type), fixture.Get(type, "blocks"), decoded.cols),
                         decoded.As<float>()));
  }
}

TEST(GgufPackingTest, CommonFormatsKeepTheNumbersOfBoth) {
  const Fixture fixture;
  for (const GgmlType a : AllQuantized()) {
    for (const GgmlType b : AllQuantized()) {
      const WeightFormat common = CommonFormat(StoredFormatOf(a), StoredFormatOf(b));
      EXPECT_EQ(common, CommonFormat(StoredFormatOf(b), StoredFormatOf(a)));
      const Fixture::Tensor decoded = fixture.Get(a, "random_decoded");
      const double worst =
          WorstError(Repack(a, common, fixture.Get(a, "random_blocks"), decoded.cols), decoded.As<float>());
      EXPECT_LE(worst, HasTwoScales(a)                                ? 0.0045
                       : a == GgmlType::kQ4_K || a == GgmlType::kQ5_K ? 0.003
                                                                      : 0)
          << GgmlTypeName(a) << " beside " << GgmlTypeName(b);
    }
  }
  EXPECT_EQ(CommonFormat(WeightFormat::kFloat16, WeightFormat::kBFloat16), WeightFormat::kFloat32);
  EXPECT_EQ(CommonFormat(WeightFormat::kInt8, WeightFormat::kBFloat16), WeightFormat::kFloat32);
}

TEST(GgufPackingTest, OtherFormatsAreMadeAnewFromTheNumbers) {
  const Fixture fixture;
  const Fixture::Tensor decoded = fixture.Get(GgmlType::kQ8_0, "decoded");
  const std::vector<float> wanted = decoded.As<float>();
  const Fixture::Tensor blocks = fixture.Get(GgmlType::kQ8_0, "blocks");
  EXPECT_EQ(WorstError(Repack(GgmlType::kQ8_0, WeightFormat::kFloat32, blocks, decoded.cols), wanted), 0);
  EXPECT_LT(WorstError(Repack(GgmlType::kQ8_0, WeightFormat::kInt4, blocks, decoded.cols), wanted), 0.15);
  EXPECT_LT(WorstError(Repack(GgmlType::kQ8_0, WeightFormat::kInt4Minimum, blocks, decoded.cols), wanted),
            0.08);
  // Lengths that are no multiple of 32, which formats of numbers may have.
  ThreadPool threads(1);
  const std::vector<float> x = {1, -2, 3, 4, 0.5f};
  const AlignedBuffer<std::byte> memory(PackedWeightBytes(WeightFormat::kInt8, 1, x.size()));
  ASSERT_OK(PackGgufWeight(
      threads, WeightFormat::kInt8, 1, x.size(),
      [&](size_t) {
        return GgufRow{GgmlType::kF32, reinterpret_cast<const std::byte*>(x.data())};
      },
      memory.data()));
  std::vector<float> row(x.size());
  UnpackRow({WeightFormat::kInt8, memory.data()}, 1, x.size(), 0, row.data());
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(row[i], x[i], 0.02);
}

TEST(GgufPackingTest, NumbersThatAreNotFiniteAreNamed) {
  ThreadPool threads(2);
  const auto pack = [&](GgmlType type, const std::vector<std::byte>& row, WeightFormat format) {
    const AlignedBuffer<std::byte> memory(PackedWeightBytes(format, 50, 256));
    const std::vector<std::byte> good(row.size());
    return PackGgufWeight(
        threads, format, 50, 256,
        [&](size_t r) {
          return GgufRow{type, r == 40 ? row.data() : good.data()};
        },
        memory.data());
  };
  for (const GgmlType type : AllQuantized()) {
    std::vector<std::byte> row(GgmlRowBytes(type, 256));
    const size_t at = type == GgmlType::kQ6_K ? 208 : type == GgmlType::kQ3_K ? 108 : 0;
    const uint16_t infinity = 0x7c00;
    std::memcpy(row.data() + at, &infinity, 2);
    if (type == GgmlType::kQ2_K) std::memcpy(row.data() + 80, &infinity, 2);
    if (type == GgmlType::kMXFP4) std::memset(row.data(), 0xff, row.size());  // numbers of 2^127 and more
    for (const WeightFormat format : {StoredFormatOf(type), WeightFormat::kFloat32}) {
      EXPECT_ERROR_CONTAINS(pack(type, row, format), type == GgmlType::kMXFP4 ? "row 40: " : "row 40: a ");
    }
  }
  std::vector<std::byte> halfs(512);
  halfs[9] = std::byte{0x7c};
  EXPECT_ERROR_CONTAINS(pack(GgmlType::kF16, halfs, WeightFormat::kFloat16), "row 40: element 4 is inf");
}

// A number that a format cannot hold would become infinity, and the model nonsense.
TEST(GgufPackingTest, NumbersThatTheFormatCannotHoldAreNamed) {
  ThreadPool threads(2);
  const auto pack = [&](float number, WeightFormat format) {
    std::vector<float> row(256);
    row[7] = number;
    const AlignedBuffer<std::byte> memory(PackedWeightBytes(format, 50, 256));
    return PackGgufWeight(
        threads, format, 50, 256,
        [&](size_t) {
          return GgufRow{GgmlType::kF32, reinterpret_cast<const std::byte*>(row.data())};
        },
        memory.data());
  };
  EXPECT_OK(pack(1e7f, WeightFormat::kFloat32));
  EXPECT_OK(pack(1e7f, WeightFormat::kBFloat16));
  for (const WeightFormat format : {WeightFormat::kFloat16, WeightFormat::kInt8, WeightFormat::kInt4,
                                    WeightFormat::kInt8Minimum, WeightFormat::kInt4Minimum}) {
    EXPECT_OK(pack(6e4f, format));
    EXPECT_ERROR_CONTAINS(pack(1e7f, format),
                          fmt::format("element 7 is 1e+07, and {} keeps at most", WeightFormatName(format)));
  }
  EXPECT_ERROR_CONTAINS(pack(3e38f, WeightFormat::kFloat32), "element 7 is 3e+38, expected at most 1.2e+18");
}

}  // namespace
}  // namespace qwen25
